// Runs inside the page: plays, seeks, switches levels, plays to the end, and keeps what happened.
//
// Every wait ends with an event of the player. What a viewer notices is kept beside what the player reports: a stall is a
// `waiting` event while it should play, outside of seeks and of the moment before the first picture.
//
// The page has loaded one of the players before. What they do differently is behind `globalThis.player`:
//   open(video, url, onError)   loads the title; resolves once its levels are known
//   levels()                    width, height, bandwidth, averageBandwidth, codecs of each
//   switchTo(index)             shows that level, what is buffered thrown away; resolves once the player has switched
//   captions()                  name and language of the subtitles there are
//   showCaptions(index)         shows those, as text tracks of the video element
//   sounds()                    name, language, channels of the sounds there are, and which is `active`
//   switchSound(index)          lets that one be heard, what is buffered of the other thrown away; resolves as switchTo does
//   thumbnails(url)             reads a storyboard; gives a function from a time to { start, url, x, y, width, height }
//   iFrames(video)              uses the I-frame playlists as this player can, and tells what came of it

"use strict";

// The end is reached when no more than this is missing.
const END_TOLERANCE_S = 0.25;
// A step has really played after this much.
const PROGRESS_S = 0.5;
const PROGRESS_FRAMES = 5;
// Two pictures that differ by less are of the same moment: half a second of movement at most, and two lossy encodings.
const ALIKE = 12;
// A picture that is not on the screen after this will not come by itself.
const PAINT_MS = 3000;
const SEEKS_MAX = 4;
// A tone below this is silence.
const SILENCE_DB = -70;

const video = document.querySelector("video");
const state = {
  levels: [],
  played: [],
  captions: [],
  sounds: [],
  thumbnails: [],
  iFrames: null,
  errors: [],
  stalls: [],
  failures: [],
  endedAtMs: null,
  soundOnly: false,
  step: "start",
  // Whether a pause in playing is expected: before the first picture and while seeking.
  settling: true,
};

globalThis.report = () => {
  const quality = video.getVideoPlaybackQuality();
  const buffered = Array.from({ length: video.buffered.length }, (_, index) => [video.buffered.start(index), video.buffered.end(index)]);
  const text = Array.from(video.textTracks, ({ label, mode, cues }) => `${label} ${mode}: ${cues?.length ?? 0}`);
  return {
    step: state.step,
    now: { time: video.currentTime, paused: video.paused, seeking: video.seeking, ended: video.ended, readyState: video.readyState, buffered, text },
    levels: state.levels,
    played: state.played,
    captions: state.captions,
    sounds: state.sounds,
    thumbnails: state.thumbnails,
    iFrames: state.iFrames,
    errors: state.errors,
    stalls: state.stalls,
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
async function switchTo(step, index, time) {
  await seek(`before ${step}`, time);
  state.step = step;
  state.settling = true;
  await player.switchTo(index);
  await progress(step, state.levels[index]);
}

// Which of those that a player has is called so, by its name or else its language; none is a failure.
function called(name, what, choices) {
  const byName = choices.findIndex((choice) => choice.name === name);
  const index = byName < 0 ? choices.findIndex((choice) => choice.language === name) : byName;
  if (index < 0) state.failures.push(`no ${what} '${name}' among ${choices.map((choice) => `${choice.name} (${choice.language})`).join(", ")}`);
  return index;
}

// The cues that are on the screen now.
const cues = () => [...video.textTracks].filter((track) => track.mode === "showing").flatMap((track) => [...(track.activeCues ?? [])]);

// What a cue shows, as HTML.
function shown(cue) {
  const box = document.createElement("div");
  box.append(cue.getCueAsHTML());
  return box.innerHTML;
}

// Chooses subtitles as the menu of a player does, seeks to the middle, waits until a cue is on the screen, and watches it until
// it goes. The middle must not be buffered yet: Shaka 5.2 puts no cue up before it has got another segment of pictures.
async function caption(name) {
  state.step = "caption";
  const choices = player.captions();
  const index = called(name, "subtitles", choices);
  if (index < 0) return;
  player.showCaptions(index);
  await seek("caption", video.duration / 2);
  await until(video, "timeupdate", () => cues().length > 0);
  const seenMs = Math.round(video.currentTime * 1000);
  const [{ startTime, endTime, text }, ...others] = cues();
  const { name: track, language } = choices[index];
  const [startMs, endMs] = [startTime, endTime].map((time) => Math.round(time * 1000));
  state.captions.push({ track, language, startMs, endMs, seenMs, text: shown(cues()[0]) });
  if (others.length > 0) state.failures.push(`${others.length + 1} cues at once at ${video.currentTime} s`);
  await globalThis.takePicture();
  // It must stay all its time, once, though it may be in several segments.
  let most = 1;
  await until(video, "timeupdate", () => {
    const same = cues().filter((cue) => cue.startTime === startTime && cue.endTime === endTime && cue.text === text).length;
    most = Math.max(most, same);
    if (same === 0 && video.currentTime < endTime) state.failures.push(`a cue of ${startTime} to ${endTime} s was gone at ${video.currentTime} s`);
    return same === 0 || video.ended;
  });
  if (most > 1) state.failures.push(`a cue of ${startTime} to ${endTime} s was shown ${most} times at once`);
}

// What is heard: the strongest frequency of the last sixth of a second, and how strong it is.
function ear() {
  const context = new AudioContext({ sampleRate: 48000 });
  const analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
  context.createMediaElementSource(video).connect(analyser).connect(context.destination);
  video.muted = false;
  const strengths = new Float32Array(analyser.frequencyBinCount);
  return () => {
    analyser.getFloatFrequencyData(strengths);
    const strongest = strengths.reduce((best, strength, index) => (strength > strengths[best] ? index : best), 0);
    return { hz: Math.round((strongest * context.sampleRate) / analyser.fftSize), db: Math.round(strengths[strongest]) };
  };
}

// Lets it play on, and keeps what is heard and what the player says is heard.
async function hear(step, listen) {
  state.step = step;
  await progress(step);
  const { hz, db } = listen();
  const { name: track, language, channels } = player.sounds().find((sound) => sound.active) ?? {};
  state.sounds.push({ step, track, language, channels, hz, db });
  if (!(db > SILENCE_DB)) state.failures.push(`silence (${db} dB) at ${video.currentTime} s (${step})`);
}

// Chooses a sound as the menu of a player does, while it plays.
async function switchSound(name, listen) {
  await hear("sound before", listen);
  const index = called(name, "sound", player.sounds());
  if (index < 0) return;
  state.step = "sound";
  state.settling = true;
  await player.switchSound(index);
  await progress("sound");
  await hear("sound after", listen);
}

async function steps({ whole, captions, sound, storyboard, iFrames }) {
  const end = video.duration;
  const levels = state.levels;
  const lowest = levels.reduce((best, level, index) => (level.bandwidth < levels[best].bandwidth ? index : best), 0);
  const highest = levels.reduce((best, level, index) => (level.bandwidth > levels[best].bandwidth ? index : best), 0);
  await progress("start");
  if (captions) await caption(captions);
  const listen = sound ? ear() : null;
  if (sound) await switchSound(sound, listen);
  if (whole) await toTheEnd("whole");
  await seek("middle", end / 2);
  await switchTo("lowest", lowest, end / 4);
  await switchTo("highest", highest, end / 2);
  if (sound) await hear("sound in another level", listen);
  if (!captions) await globalThis.takePicture();
  if (storyboard) await seekByThumbnails(storyboard);
  if (iFrames) {
    state.step = "I-frames";
    state.settling = true;
    state.iFrames = await player.iFrames(video);
  }
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

// The picture that is shown now, or a part of an image, in the size of a thumbnail: its pixels.
function pixels(width, height, source, ...part) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, ...part, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

// Mean difference of two pictures' pixels, 0 to 255.
function difference(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index += 4) {
    for (let channel = 0; channel < 3; channel += 1) sum += Math.abs(one[index + channel] - other[index + channel]);
  }
  return sum / (one.length / 4) / 3;
}

// Asks for the thumbnail of moments all along, seeks to where each says it is from, and compares it with what is shown there.
async function seekByThumbnails(url) {
  const thumbnailAt = await player.thumbnails(url);
  video.pause();
  const images = new Map();
  const count = 12;
  for (let index = 0; index < count; index += 1) {
    const asked = ((index + 0.5) * video.duration) / count;
    state.step = `thumbnail at ${asked.toFixed(1)} s`;
    state.settling = true;
    const tile = await thumbnailAt(asked);
    if (!images.has(tile.url)) {
      const image = Object.assign(new Image(), { crossOrigin: "anonymous", src: tile.url });
      await image.decode();
      images.set(tile.url, image);
    }
    const thumbnail = pixels(tile.width, tile.height, images.get(tile.url), tile.x, tile.y, tile.width, tile.height);
    let apart = Infinity;
    // A paused video is painted anew when somebody asks for its pictures, and even then not after every seek.
    for (let attempt = 0; attempt < SEEKS_MAX && apart >= ALIKE; attempt += 1) {
      const seeked = new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
      // Into the picture, not onto its edge.
      video.currentTime = tile.start + 0.01 * (attempt + 1);
      await seeked;
      for (const end = performance.now() + PAINT_MS; apart >= ALIKE && performance.now() < end; await new Promise(requestAnimationFrame)) {
        video.requestVideoFrameCallback(() => {});
        apart = Math.min(apart, difference(thumbnail, pixels(tile.width, tile.height, video)));
      }
    }
    state.thumbnails.push({ askedMs: Math.round(asked * 1000), startMs: Math.round(tile.start * 1000), url: tile.url, x: tile.x, y: tile.y, width: tile.width, height: tile.height, difference: apart });
  }
}

// Plays the title, from start to end first when `whole`, with the subtitles and the sound of those names and its storyboard
// when there are any; gives what made it impossible, or null.
globalThis.watch = async (url, wishes) => {
  let opened;
  const fatal = new Promise((resolve) => {
    opened = player.open(video, url, (error) => {
      state.errors.push({ ...error, step: state.step });
      if (error.fatal) resolve(`fatal ${error.details}: ${error.reason}`);
    });
  });
  video.addEventListener("waiting", () => {
    const expected = state.settling || video.seeking || video.ended || video.currentTime >= video.duration - END_TOLERANCE_S;
    if (!expected) state.stalls.push({ atMs: Math.round(video.currentTime * 1000), step: state.step });
  });
  const broken = new Promise((resolve) => {
    video.addEventListener("error", () => resolve(`the video element failed: ${video.error?.message ?? "unknown"}`), { once: true });
  });
  const everything = async () => {
    await opened;
    state.levels = player.levels();
    state.soundOnly = state.levels.every((level) => !level.width);
    const known = until(video, "durationchange", () => Number.isFinite(video.duration) && video.duration > 0);
    await video.play();
    await known;
    await steps(wishes);
    return null;
  };
  return Promise.race([everything(), fatal, broken]);
};
