#!/usr/bin/env python3
"""The demo: starts the origin, uploads the shipped film as a client would, says where it plays, serves until Ctrl-C.

Called by `make demo`, which describes the variables it reads. With ONCE=1 it checks playback over HTTP and ends with 0.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from origin import ROOT, Failed, Origin
from playback import Fault, verify
from watch import NoPage, WatchPage

SAMPLE = ROOT / "media/samples/bunny.mp4"
# The film's licence asks for it: see media/samples/README.md.
CREDIT = "Big Buck Bunny © 2008 Blender Foundation, www.bigbuckbunny.org, licensed under CC BY 3.0; cut."
PLAYABLE_S = 120


def port(name):
    text = os.environ.get(name) or "0"
    if not text.isdecimal() or int(text) > 65535:
        raise Failed(f"{name} is a port from 0 to 65535, not {text!r}")
    return int(text)


def require_free(name, number):
    """Says which port is taken before the server does: another demo, most often."""
    if number == 0:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", number))
        except OSError as error:
            raise Failed(f"port {number} cannot be had ({error.strerror}); try make demo {name}=0") from None


def newest_title(origin):
    titles = origin.get("/api/v1/titles?limit=1")["titles"]
    if not titles:
        raise Failed("the upload left no title")
    if titles[0]["state"] == "failed":
        raise Failed(f"the title failed: {titles[0]['problem']}")
    return titles[0]


def watch_page(number, title, look):
    """The page, or None with the reason why there is none."""
    try:
        return WatchPage(number, title, CREDIT, look), None
    except NoPage as reason:
        return None, str(reason)


def show(data):
    listen, admin, watch = port("PORT"), port("ADMIN_PORT"), port("WATCH_PORT")
    require_free("PORT", listen)
    require_free("ADMIN_PORT", admin)
    page = None
    origin = Origin(data, f"0.0.0.0:{listen}", f"127.0.0.1:{admin}")
    try:
        upload = [origin.program, "upload", SAMPLE, "--server", origin.admin_url, "--name", "Big Buck Bunny"]
        if subprocess.run(upload, check=False).returncode != 0:
            raise Failed("the upload failed")
        title = origin.wait_for("playable", PLAYABLE_S, lambda: (t := newest_title(origin))["playable"] and t)
        url = title["playback"]["hls"]
        page, why_not = watch_page(watch, title, lambda: newest_title(origin))
        print(f"\n  watch     {page.url if page else f'no page ({why_not})'}\n  playback  {url}\n  console   {origin.admin_url}/\n", flush=True)
        if os.environ.get("ONCE"):
            print(f"  {verify(url)}", flush=True)
            if page:
                print(f"  {page.verify(Fault)}", flush=True)
        else:
            print("  serving until Ctrl-C", flush=True)
            raise Failed(f"the server ended with {origin.server.wait()}")
    finally:
        if page:
            page.close()
        origin.stop()


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kept = os.environ.get("DATA")
    data = Path(kept).absolute() if kept else Path(tempfile.mkdtemp(prefix="headwater-demo-"))
    data.mkdir(parents=True, exist_ok=True)
    try:
        show(data)
    except (Failed, Fault) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n  stopped", flush=True)
    finally:
        if not kept:
            shutil.rmtree(data, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
