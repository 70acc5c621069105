// The browser alone as `viewer.js` wants a player: a progressive file as the source of the video element.

"use strict";

(() => {
  let element;

  globalThis.player = {
    // What goes wrong is told by the element itself.
    async open(video, url) {
      element = video;
      const known = new Promise((resolve) => video.addEventListener("loadedmetadata", resolve, { once: true }));
      video.src = url;
      await known;
    },

    levels: () => [{ width: element.videoWidth, height: element.videoHeight, bandwidth: 0, averageBandwidth: 0, codecs: "" }],

    async switchTo() {},

    captions: () => [],

    sounds: () => [],
  };
})();
