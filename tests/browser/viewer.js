// Runs inside the page: plays, seeks, switches levels, plays to the end, and keeps what happened.
//
// Every wait ends with an event of the player. What a viewer notices is kept beside what hls.js reports: a stall is a
// `waiting` event while it should play, outside of seeks and of the moment before the first picture.

"use strict";

// The end is reached when no more than this is missing.
const END_TOLERANCE_S = 0.25;
// A step has really played after this much.
const PROGRESS_S = 0.5;
const PROGRESS_FRAMES = 5;

const video = document.querySelector("video");
const state = {
  levels: [],
  played: [],
  errors: [],
  stalls: [],
  failures: [],
  captions: [],
  endedAtMs: null,
  soundOnly: false,
  step: "start",
  // Whether a pause in playing is expected: before the first picture and while seeking.
  settling: true,
};

globalThis.report = () => {
  const quality = video.getVideoPlaybackQuality();
  const buffered = Array.from({ length: video.buffered.length }, (_, index) => [video.buffered.start(index), video.buffered.end(index)]);
  return {
    step: state.step,
    now: { time: video.currentTime, paused: video.paused, seeking: video.seeking, ended: video.ended, readyState: video.readyState, buffered },
    levels: state.levels,
    played: state.played,
    errors: state.errors,
    stalls: state.stalls,
    captions: state.captions,
    failures: [...state.failures, ...state.stalls.map((stall) => `stalled at ${stall.atMs} ms (${stall.step})`)],
    durationMs: Number.isFinite(video.duration) ? Math.round(video.duration * 1000) : null,
    endedAtMs: state.endedAtMs,
    framesDecoded: quality.totalVideoFrames,
    framesDropped: quality.droppedVideoFrames,
    framesCorrupted: quality.corruptedVideoFrames,
    soundBytesDecoded: video.webkitAudioDecodedByteCount ?? 0,
  };
};

// Resolves with the first event of that name for which `is` holds, or at once when it holds already.
function until(target, name, is) {
  if (is()) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (!is()) return;
      target.removeEventListener(name, look);
      resolve();
    };
    target.addEventListener(name, look);
  });
}

// Waits until time moves and pictures of this size are decoded; any size when none is given. Near the end, as much as is
// left is enough.
async function progress(step, size) {
  const frames = () => video.getVideoPlaybackQuality().totalVideoFrames;
  const right = () => !size?.width || (video.videoWidth === size.width && video.videoHeight === size.height);
  await until(video, "timeupdate", right);
  const since = { time: video.currentTime, frames: frames() };
  const wanted = Math.min(PROGRESS_S, Math.max(0, video.duration - since.time - END_TOLERANCE_S));
  const pictured = () => state.soundOnly || video.ended || frames() - since.frames >= PROGRESS_FRAMES;
  const moved = () => video.currentTime - since.time >= wanted && pictured();
  await until(video, "timeupdate", () => right() && moved());
  state.settling = false;
  state.played.push({ step, atMs: Math.round(video.currentTime * 1000), width: video.videoWidth, height: video.videoHeight });
}

async function seek(step, time) {
  state.step = step;
  state.settling = true;
  const done = new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
  video.currentTime = time;
  await done;
  if (video.paused) await video.play();
  await progress(step);
}

// Switches as the menu of a player does: what is buffered is thrown away, playing goes on in the new level.
async function switchTo(hls, step, index, time) {
  await seek(`before ${step}`, time);
  state.step = step;
  state.settling = true;
  if (hls.currentLevel !== index) {
    const switched = new Promise((resolve) => {
      const look = (_, data) => {
        if (data.level !== index) return;
        hls.off(Hls.Events.LEVEL_SWITCHED, look);
        resolve();
      };
      hls.on(Hls.Events.LEVEL_SWITCHED, look);
    });
    hls.currentLevel = index;
    await switched;
  }
  await progress(step, hls.levels[index]);
}

// Chooses subtitles as the menu of a player does, and waits until one of their cues is on the screen.
async function caption(hls, name) {
  state.step = "caption";
  const index = hls.subtitleTracks.findIndex((track) => track.name === name);
  if (index < 0) {
    state.failures.push(`no subtitles '${name}' among ${hls.subtitleTracks.map((track) => track.name).join(", ")}`);
    return;
  }
  hls.subtitleTrack = index;
  hls.subtitleDisplay = true;
  await seek("caption", 0);
  const showing = () => [...video.textTracks].filter((track) => track.mode === "showing");
  const cue = () => showing().flatMap((track) => [...(track.activeCues ?? [])])[0];
  await until(video, "timeupdate", () => cue() !== undefined);
  const { startTime, endTime, text } = cue();
  const [track] = showing();
  state.captions.push({ track: track.label, language: track.language, startMs: Math.round(startTime * 1000), endMs: Math.round(endTime * 1000), text });
}

async function steps(hls, whole, captions) {
  const end = video.duration;
  const lowest = hls.levels.reduce((best, level, index) => (level.bitrate < hls.levels[best].bitrate ? index : best), 0);
  const highest = hls.levels.reduce((best, level, index) => (level.bitrate > hls.levels[best].bitrate ? index : best), 0);
  await progress("start");
  if (captions) await caption(hls, captions);
  if (whole) await toTheEnd("whole");
  await seek("middle", end / 2);
  await switchTo(hls, "lowest", lowest, end / 4);
  await switchTo(hls, "highest", highest, end / 2);
  await globalThis.takePicture();
  await seek("near the end", Math.max(0, end - Math.min(3, end / 4)));
  await toTheEnd("end");
}

async function toTheEnd(step) {
  state.step = step;
  await until(video, "ended", () => video.ended);
  state.endedAtMs = Math.round(video.currentTime * 1000);
  state.played.push({ step, atMs: state.endedAtMs, width: video.videoWidth, height: video.videoHeight });
  if (Math.abs(video.duration - video.currentTime) > END_TOLERANCE_S) {
    state.failures.push(`ended at ${video.currentTime} s of ${video.duration} s (${step})`);
  }
}

// Plays the title, from start to end first when `whole`; gives what made it impossible, or null.
globalThis.watch = async (url, whole, captions) => {
  const hls = new Hls({ enableWorker: true, startPosition: 0 });
  const fatal = new Promise((resolve) => {
    hls.on(Hls.Events.ERROR, (_, data) => {
      const reason = String(data.reason ?? data.error?.message ?? data.response?.code ?? "");
      state.errors.push({ fatal: data.fatal, type: data.type, details: data.details, reason, url: data.url ?? data.frag?.url ?? null, step: state.step });
      if (data.fatal) resolve(`fatal ${data.details}: ${reason}`);
    });
  });
  video.addEventListener("waiting", () => {
    const expected = state.settling || video.seeking || video.ended || video.currentTime >= video.duration - END_TOLERANCE_S;
    if (!expected) state.stalls.push({ atMs: Math.round(video.currentTime * 1000), step: state.step });
  });
  const broken = new Promise((resolve) => {
    video.addEventListener("error", () => resolve(`the video element failed: ${video.error?.message ?? "unknown"}`), { once: true });
  });
  const parsed = new Promise((resolve) => hls.once(Hls.Events.MANIFEST_PARSED, resolve));
  hls.loadSource(url);
  hls.attachMedia(video);
  const everything = async () => {
    await parsed;
    state.levels = hls.levels.map((level) => ({
      width: level.width,
      height: level.height,
      bandwidth: level.bitrate,
      averageBandwidth: level.averageBitrate,
      codecs: [level.videoCodec, level.audioCodec].filter(Boolean).join(","),
    }));
    state.soundOnly = hls.levels.every((level) => !level.width);
    const known = until(video, "durationchange", () => Number.isFinite(video.duration) && video.duration > 0);
    await video.play();
    await known;
    await steps(hls, whole, captions);
    return null;
  };
  return Promise.race([everything(), fatal, broken]);
};
