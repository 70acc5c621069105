"""The demo's watch page, served on the loopback address: an origin of its own, as a site that embeds a player is."""

import json
import shutil
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / ".ci/watch.html"
HLS_JS = ROOT / "tests/browser/node_modules/hls.js/dist/hls.min.js"

HTML = "text/html; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
JSON = "application/json"


class NoPage(Exception):
    """There is no watch page; the message says why."""


def policy(media):
    """A Content-Security-Policy under which the page can ask for nothing but its own parts and this origin's media."""
    rules = [
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'unsafe-inline'",
        f"img-src data: {media}",
        "worker-src blob:",
        f"connect-src 'self' {media}",
        f"media-src blob: {media}",
    ]
    return "; ".join(rules)


class WatchPage:
    """Serves from the time it is made until `close`."""

    def __init__(self, number, title, credit, look):
        """`title` is as the control API tells it; `look` asks for it anew."""
        if not HLS_JS.exists():
            lacking = [program for program in ("node", "npm") if not shutil.which(program)]
            reason = f"{' and '.join(lacking)} cannot be found" if lacking else "npm could not install it"
            raise NoPage(f"hls.js is not here: {reason}; .ci/setup.sh demo tries again")
        hls = title["playback"]["hls"]
        media = "{0.scheme}://{0.netloc}".format(urlsplit(hls))

        def shown():
            now = look()
            told = {"name": now["name"], "hls": hls, "credit": credit, "state": now["state"], "fraction": now["progress"]["fraction"]}
            told.update({still: now["playback"][still] for still in ("poster", "storyboard")})
            return json.dumps(told).encode()

        page, script = PAGE.read_bytes(), HLS_JS.read_bytes()
        bodies = {"/": (HTML, lambda: page), "/hls.js": (SCRIPT, lambda: script), "/title.json": (JSON, shown)}
        try:
            self.server = ThreadingHTTPServer(("127.0.0.1", number), handler(bodies, policy(media)))
        except OSError as error:
            raise NoPage(f"port {number} cannot be had ({error.strerror}); try make demo WATCH_PORT=0") from None
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def verify(self, fault):
        """Asks for every part as a browser would; raises `fault` at the first that is not as it should be."""
        for path, kind, part in [("", HTML, b"<video"), ("hls.js", SCRIPT, b"MEDIA_ATTACHED"), ("title.json", JSON, b".m3u8")]:
            try:
                with urllib.request.urlopen(self.url + path, timeout=10) as response:
                    found, body = response.headers["Content-Type"], response.read()
            except OSError as error:
                raise fault(f"{self.url}{path}: {error}") from None
            if found != kind or part not in body:
                raise fault(f"{self.url}{path}: {found}, {len(body)} bytes, without {part.decode()!r}")
        return "verified: the watch page and hls.js"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def handler(bodies, content_security_policy):
    """Answers a path with its body, and anything else with 404."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A connection that says nothing is not waited for.
        timeout = 30

        def do_GET(self):
            kind, make = bodies.get(urlsplit(self.path).path, (None, lambda: b""))
            body = make()
            self.send_response(200 if kind else 404)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", content_security_policy)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            """Nobody reads who asked the demo for its page."""

    return Handler
