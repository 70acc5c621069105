// Serves the player's page, and media out of a folder: each an origin of its own on a free port of the loopback address.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const PLAYERS = {
  hls: { library: "hls.js", adapter: "player-hls.js" },
  shaka: { library: "shaka-player", adapter: "player-shaka.js" },
  native: { library: null, adapter: "player-native.js" },
};

export const players = Object.keys(PLAYERS);

const HTML = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Headwater in a browser</title>
<style>html, body { margin: 0; background: #000 } video { width: 100vw; height: 100vh }</style>
<video muted playsinline></video>
<script src="/library.js"></script>
<script src="/player.js"></script>
<script src="/viewer.js"></script>
</html>
`;

export async function servePage(player) {
  const { library: name, adapter } = PLAYERS[player];
  const library = name ? await readFile(createRequire(import.meta.url).resolve(name)) : "";
  const own = await readFile(new URL(adapter, import.meta.url));
  const viewer = await readFile(new URL("viewer.js", import.meta.url));
  const bodies = new Map([
    ["/", ["text/html; charset=utf-8", HTML]],
    ["/library.js", ["text/javascript; charset=utf-8", library]],
    ["/player.js", ["text/javascript; charset=utf-8", own]],
    ["/viewer.js", ["text/javascript; charset=utf-8", viewer]],
    ["/favicon.ico", ["image/x-icon", ""]],
  ]);
  return serve((url) => bodies.get(url));
}

const TYPES = new Map([
  [".m3u8", "application/vnd.apple.mpegurl"],
  [".mp4", "video/mp4"],
  [".m4s", "video/mp4"],
  [".vtt", "text/vtt"],
  [".jpg", "image/jpeg"],
]);

// Files of known types below a folder, readable from any origin.
export async function serveFolder(folder) {
  const root = path.resolve(folder);
  return serve(async (url) => {
    const file = path.join(root, decodeURIComponent(url));
    const type = TYPES.get(path.extname(file));
    if (!type || !file.startsWith(root + path.sep)) return null;
    return [type, await readFile(file)];
  });
}

// Starts a server that answers a path with the type and body that `find` gives for it.
async function serve(find) {
  const server = createServer(async (request, response) => {
    try {
      const [type, body] = await find(new URL(request.url, "http://here").pathname);
      response.writeHead(200, { "Content-Type": type, "Access-Control-Allow-Origin": "*" }).end(body);
    } catch {
      response.writeHead(404, { "Access-Control-Allow-Origin": "*" }).end();
    }
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
