// Shaka Player as `viewer.js` wants a player.

"use strict";

(() => {
  let inner;
  const asked = [];

  // A track is a level with one of the sounds; those with the sound that is heard stand for the levels. Without pictures,
  // levels may differ in their channels.
  const tracks = () => {
    const all = inner.getVariantTracks().sort((one, other) => one.bandwidth - other.bandwidth);
    const heard = all.find((track) => track.active);
    const alike = heard?.videoCodec ? ["language", "label", "channelsCount"] : ["language", "label"];
    return heard ? all.filter((track) => alike.every((name) => track[name] === heard[name])) : all;
  };

  const failure = (error) => ({
    fatal: error.severity === shaka.util.Error.Severity.CRITICAL,
    type: String(error.category),
    details: `shaka ${error.code}`,
    reason: String(error.message ?? ""),
    url: typeof error.data?.[0] === "string" ? error.data[0] : null,
  });

  globalThis.player = {
    async open(video, url, onError) {
      shaka.polyfill.installAll();
      inner = new shaka.Player();
      await inner.attach(video);
      inner.addEventListener("error", (event) => onError(failure(event.detail)));
      inner.getNetworkingEngine().registerRequestFilter((_, request) => asked.push({ uri: request.uris[0], range: request.headers.Range }));
      try {
        await inner.load(url, 0);
      } catch (error) {
        onError({ ...failure(error), fatal: true });
        await new Promise(() => {});
      }
    },

    levels: () =>
      tracks().map((track) => ({
        width: track.width,
        height: track.height,
        bandwidth: track.bandwidth,
        averageBandwidth: track.bandwidth,
        codecs: track.codecs,
      })),

    async switchTo(index) {
      inner.configure("abr.enabled", false);
      inner.selectVariantTrack(tracks()[index], true);
    },

    captions: () => inner.getTextTracks().map((track) => ({ name: track.label, language: track.originalLanguage ?? "" })),

    showCaptions: (index) => inner.selectTextTrack(inner.getTextTracks()[index]),

    sounds: () =>
      inner.getAudioTracks().map((track) => ({
        name: track.label,
        language: track.originalLanguage ?? "",
        channels: track.channelsCount ?? 0,
        active: track.active,
      })),

    async switchSound(index) {
      const track = inner.getAudioTracks()[index];
      if (!track.active) inner.selectAudioTrack(track);
    },

    async thumbnails(url) {
      const track = await inner.addThumbnailsTrack(url, "text/vtt");
      return async (time) => {
        const found = await inner.getThumbnails(track.id, time);
        return {
          start: found.startTime,
          url: found.uris[0].split("#")[0],
          x: found.positionX,
          y: found.positionY,
          width: found.width,
          height: found.height,
        };
      };
    },

    // Fast motion: Shaka plays the I-frame playlist then, and asks for its ranges of the segments.
    async iFrames(video) {
      const ranges = () => asked.filter(({ uri, range }) => uri.endsWith(".m4s") && range).length;
      video.currentTime = 0;
      await video.play();
      const before = ranges();
      inner.trickPlay(8);
      // Nothing buffered at the usual rate stands in for it.
      inner.selectVariantTrack(tracks()[0], true);
      const target = Math.min(video.duration - 1, 16);
      await new Promise((resolve) => {
        const look = () => {
          if (video.currentTime < target) return;
          video.removeEventListener("timeupdate", look);
          resolve();
        };
        video.addEventListener("timeupdate", look);
      });
      const shown = ranges() - before;
      inner.cancelTrickPlay();
      const variants = new Set(asked.filter(({ uri }) => uri.endsWith("/iframes.m3u8")).map(({ uri }) => uri)).size;
      return { variants, shown, width: video.videoWidth, height: video.videoHeight };
    },
  };
})();
