// hls.js as `viewer.js` wants a player.

"use strict";

(() => {
  let hls;

  // The cues of a WebVTT index, which hls.js leaves to the page.
  function cues(text, base) {
    const seconds = (clock) => clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
    return text
      .split(/\r?\n\r?\n/)
      .map((block) => /([\d:.]+) --> ([\d:.]+)[^\n]*\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)/.exec(block))
      .filter(Boolean)
      .map(([, start, end, file, x, y, width, height]) => ({
        start: seconds(start),
        end: seconds(end),
        url: new URL(file, base).href,
        x: Number(x),
        y: Number(y),
        width: Number(width),
        height: Number(height),
      }));
  }

  globalThis.player = {
    open(video, url, onError) {
      hls = new Hls({ enableWorker: true, startPosition: 0 });
      hls.on(Hls.Events.ERROR, (_, data) => {
        const reason = String(data.reason ?? data.error?.message ?? data.response?.code ?? "");
        onError({ fatal: data.fatal, type: data.type, details: data.details, reason, url: data.url ?? data.frag?.url ?? null });
      });
      const parsed = new Promise((resolve) => hls.once(Hls.Events.MANIFEST_PARSED, resolve));
      hls.loadSource(url);
      hls.attachMedia(video);
      return parsed;
    },

    levels: () =>
      hls.levels.map((level) => ({
        width: level.width,
        height: level.height,
        bandwidth: level.bitrate,
        averageBandwidth: level.averageBitrate,
        codecs: [level.videoCodec, level.audioCodec].filter(Boolean).join(","),
      })),

    async switchTo(index) {
      if (hls.currentLevel === index) return;
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
    },

    captions: () => hls.subtitleTracks.map(({ name, lang }) => ({ name, language: lang ?? "" })),

    showCaptions(index) {
      hls.subtitleTrack = index;
      hls.subtitleDisplay = true;
    },

    sounds: () =>
      hls.audioTracks.map((track, index) => ({
        name: track.name,
        language: track.lang ?? "",
        channels: Number(track.channels ?? 0),
        active: index === hls.audioTrack,
      })),

    async switchSound(index) {
      if (hls.audioTrack === index) return;
      const switched = new Promise((resolve) => hls.once(Hls.Events.AUDIO_TRACK_SWITCHED, resolve));
      hls.audioTrack = index;
      await switched;
    },

    async thumbnails(url) {
      const response = await fetch(url);
      if (!response.ok) throw new Error(`the storyboard: ${response.status}`);
      const all = cues(await response.text(), url);
      return async (time) => all.find((cue) => cue.start <= time && time < cue.end);
    },

    // A player of I-frames beside the real one, as on a seek bar: it shows the key frame before a time.
    async iFrames(video) {
      const small = document.createElement("video");
      small.muted = true;
      document.body.append(small);
      const frames = hls.createIFramePlayer();
      if (!frames) return { variants: hls.iframeVariants.length, shown: 0, width: 0, height: 0 };
      const failed = new Promise((_, reject) => {
        frames.on(Hls.Events.ERROR, (_, data) => reject(new Error(`I-frames: ${data.details}: ${data.error?.message ?? ""}`)));
      });
      // hls.js 1.7 waits for ever when the playlist is there before the media source is open.
      const attached = new Promise((resolve) => frames.once(Hls.Events.MEDIA_ATTACHED, resolve));
      frames.attachMedia(small);
      await attached;
      let shown = 0;
      for (const share of [0.6, 0.2, 0.9]) {
        const time = video.duration * share;
        const pictured = new Promise((resolve) => {
          const look = () => {
            const there = Array.from({ length: small.buffered.length }, (_, index) => [small.buffered.start(index), small.buffered.end(index)]);
            const has = there.some(([start, end]) => start <= small.currentTime && small.currentTime <= end);
            if (has && small.readyState >= 2 && !small.seeking && Math.abs(small.currentTime - time) < 0.1) return resolve();
            setTimeout(look, 20);
          };
          look();
        });
        frames.loadMediaAt(time);
        await Promise.race([pictured, failed]);
        shown += 1;
      }
      const result = { variants: hls.iframeVariants.length, shown, width: small.videoWidth, height: small.videoHeight };
      frames.destroy();
      small.remove();
      return result;
    },
  };
})();
