#!/usr/bin/env node
// Plays a title as a viewer would: hls.js or Shaka Player in Chromium, on a page of another origin than the media; or the browser
// alone, which takes a progressive file.
//
//   node play.mjs URL [--player hls|shaka|native] [--captions NAME] [--sound NAME] [--storyboard URL] [--i-frames] [--whole]
//                     [--json] [--screenshot FILE] [--deadline SECONDS] [--chromium PROGRAM]
//   node play.mjs --folder DIR main.m3u8 …
//
// With --folder the media are files, served from here. Watches it play (with --whole from start to end), seeks to the middle,
// switches to the lowest and to the highest level, seeks near the end and plays to the end. With --captions it chooses the
// subtitles of that name and watches the first cue after the middle come and go; with --sound the sound of that name (both: or language), and
// listens to the strongest frequency before and after. With --storyboard it asks for thumbnails all along and compares each
// with the picture at its time; with --i-frames it uses the I-frame playlists as the player can. Every step waits for what a
// viewer would see (time moves, pictures of that size are decoded), all together under one deadline. The screenshot is of the
// cue, else of the highest level. Exit code 0: everything happened and nothing went wrong; 1: not so, the report says what;
// 2: wrong usage.

import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { players, serveFolder, servePage } from "./serve.mjs";

// Debian's, Ubuntu's, and one's own.
const PROGRAMS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/snap/bin/chromium", "/usr/bin/google-chrome"];

const CHROMIUM_ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
];

const USAGE =
  "usage: play.mjs URL [--player hls|shaka|native] [--captions NAME] [--sound NAME] [--storyboard URL] [--i-frames] [--whole]\n" +
  "                    [--json] [--screenshot FILE] [--deadline SECONDS] [--chromium PROGRAM]\n" +
  "       play.mjs --folder DIR PLAYLIST …";

class WrongUsage extends Error {}

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      folder: { type: "string" },
      player: { type: "string", default: "hls" },
      captions: { type: "string" },
      sound: { type: "string" },
      storyboard: { type: "string" },
      "i-frames": { type: "boolean", default: false },
      whole: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      screenshot: { type: "string" },
      deadline: { type: "string", default: "120" },
      chromium: { type: "string", default: PROGRAMS.find((program) => existsSync(program)) },
    },
  });
  const [playlist, ...more] = positionals;
  if (!playlist || more.length > 0) throw new WrongUsage("one playlist is expected");
  if (!values.folder && !URL.canParse(playlist)) throw new WrongUsage("the playlist is an absolute URL");
  if (!players.includes(values.player)) throw new WrongUsage(`the players are ${players.join(", ")}`);
  if (!values.chromium) throw new WrongUsage(`no browser is here; looked for ${PROGRAMS.join(", ")}`);
  const deadlineMs = Number(values.deadline) * 1000;
  if (!(deadlineMs > 0)) throw new WrongUsage("--deadline is a number of seconds");
  return { ...values, playlist, deadlineMs };
}

// Serves what has to be served, plays, and gives the report.
async function play(chosen) {
  const page = await servePage(chosen.player);
  const media = chosen.folder ? await serveFolder(chosen.folder) : null;
  try {
    return await watch(page.url, media ? new URL(chosen.playlist, media.url).href : chosen.playlist, chosen);
  } finally {
    page.close();
    media?.close();
  }
}

// Runs the page in a fresh browser and gives its report, also when the deadline passes or the page breaks.
async function watch(pageUrl, url, { whole, captions, sound, storyboard, screenshot, deadlineMs, chromium: program, ...chosen }) {
  const wishes = { whole, captions, sound, storyboard, iFrames: chosen["i-frames"] };
  const profile = await mkdtemp(path.join(tmpdir(), "headwater-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: program,
    args: CHROMIUM_ARGUMENTS,
    headless: true,
    viewport: { width: 1280, height: 720 },
  });
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve(`not done after ${deadlineMs / 1000} s`), deadlineMs);
  });
  try {
    const page = await context.newPage();
    const consoleErrors = [];
    page.on("console", (message) => message.type() === "error" && consoleErrors.push(message.text()));
    page.on("pageerror", (error) => consoleErrors.push(String(error)));
    // Called while the cue is shown, or while the middle of the film plays in its highest level.
    await page.exposeFunction("takePicture", async () => {
      if (screenshot) await page.screenshot({ path: screenshot });
    });
    await page.goto(pageUrl);
    const failure = await Promise.race([page.evaluate(([url, wishes]) => globalThis.watch(url, wishes), [url, wishes]).catch(String), late]);
    const report = await page.evaluate(() => globalThis.report());
    if (failure) report.failures.push(`${failure} (${report.step})`);
    return { url, player: chosen.player, ...report, consoleErrors, passed: report.failures.length === 0 };
  } finally {
    clearTimeout(timer);
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

function show(report) {
  const lines = [
    `${report.url} (${report.player})`,
    `  duration  ${report.durationMs} ms, ended at ${report.endedAtMs} ms`,
    `  levels    ${report.levels.map((level) => `${level.width}x${level.height} (${level.bandwidth} b/s)`).join(", ")}`,
    `  played    ${report.played.map((step) => `${step.step} ${step.width}x${step.height}`).join(", ")}`,
    `  frames    ${report.framesDecoded} decoded, ${report.framesDropped} dropped; ${report.soundBytesDecoded} bytes of sound decoded`,
    ...report.captions.map((cue) => `  caption   ${cue.startMs} to ${cue.endMs} ms, seen at ${cue.seenMs} ms, ${cue.track} (${cue.language}): ${cue.text}`),
    ...report.sounds.map((sound) => `  ${sound.step}: ${sound.track} (${sound.language}), ${sound.channels} channels, ${sound.hz} Hz at ${sound.db} dB`),
    ...report.thumbnails.map((tile) => `  thumbnail ${tile.startMs} ms, off by ${tile.difference.toFixed(1)}`),
    ...(report.iFrames ? [`  I-frames  ${JSON.stringify(report.iFrames)}`] : []),
    `  stalls    ${report.stalls.length}`,
    `  errors    ${report.errors.length}`,
    ...report.errors.map((error) => `    ${error.fatal ? "fatal" : "not fatal"} ${error.details}: ${error.reason}`),
    ...report.consoleErrors.map((text) => `    console: ${text}`),
    ...report.failures.map((failure) => `  FAILED    ${failure}`),
    ...(report.passed ? [] : [`  stands    ${JSON.stringify(report.now)}`]),
    report.passed ? "  passed" : "  failed",
  ];
  return lines.join("\n");
}

try {
  const chosen = options();
  const report = await play(chosen);
  process.stdout.write(`${chosen.json ? JSON.stringify(report) : show(report)}\n`);
  process.exitCode = report.passed ? 0 : 1;
} catch (error) {
  const wrong = error instanceof WrongUsage || String(error.code).startsWith("ERR_PARSE_ARGS");
  process.stderr.write(`play.mjs: ${error.message}\n${wrong ? `${USAGE}\n` : ""}`);
  process.exitCode = wrong ? 2 : 1;
}
