#!/usr/bin/env python3
"""The demo: starts the origin, uploads the shipped film as a client would, says where it plays, serves until Ctrl-C.

Called by `make demo`, which describes the variables it reads. With ONCE=1 it checks playback over HTTP and ends with 0.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playback import Fault, verify
from watch import NoPage, WatchPage

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "media/samples/bunny.mp4"
# The film's licence asks for it: see media/samples/README.md.
CREDIT = "Big Buck Bunny © 2008 Blender Foundation, www.bigbuckbunny.org, licensed under CC BY 3.0; cut."
START_S = 30
PLAYABLE_S = 120
STOP_S = 45


class Failed(Exception):
    """The demo cannot go on; the message says why."""


def program():
    folder = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return ROOT / folder / "release/headwater"


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


def wait_for(what, seconds, server, look):
    """Looks until there is something to see, the server ends, or time is up."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if server.poll() is not None:
            raise Failed(f"the server ended with {server.returncode} before {what}")
        if time.monotonic() > end:
            raise Failed(f"not {what} after {seconds} s")
        time.sleep(0.1)


def reachable(address):
    """An address to ask, for an address that is listened on."""
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def bound_addresses(run):
    """What the server wrote about itself, once it did."""
    try:
        return json.loads(run.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def newest_title(admin):
    with urllib.request.urlopen(f"http://{admin}/api/v1/titles?limit=1", timeout=10) as response:
        titles = json.load(response)["titles"]
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


def stop(server):
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise Failed(f"the server did not stop within {STOP_S} s") from None


def show(data):
    listen, admin, watch = port("PORT"), port("ADMIN_PORT"), port("WATCH_PORT")
    require_free("PORT", listen)
    require_free("ADMIN_PORT", admin)
    page = None
    run = data / "run.json"
    # What an earlier server left would be mistaken for this one's.
    run.unlink(missing_ok=True)
    addresses = ["--listen", f"0.0.0.0:{listen}", "--admin", f"127.0.0.1:{admin}"]
    # A session of its own: Ctrl-C reaches the demo, and the demo stops the server.
    server = subprocess.Popen([program(), "serve", "--data", data, *addresses], start_new_session=True)
    try:
        bound = wait_for("listening", START_S, server, lambda: bound_addresses(run))
        admin = reachable(bound["admin"])
        upload = [program(), "upload", SAMPLE, "--server", f"http://{admin}", "--name", "Big Buck Bunny"]
        if subprocess.run(upload, check=False).returncode != 0:
            raise Failed("the upload failed")
        title = wait_for("playable", PLAYABLE_S, server, lambda: (t := newest_title(admin))["playable"] and t)
        url = title["playback"]["hls"]
        page, why_not = watch_page(watch, title, lambda: newest_title(admin))
        print(f"\n  watch     {page.url if page else f'no page ({why_not})'}\n  playback  {url}\n  console   http://{admin}/\n", flush=True)
        if os.environ.get("ONCE"):
            print(f"  {verify(url)}", flush=True)
            if page:
                print(f"  {page.verify(Fault)}", flush=True)
        else:
            print("  serving until Ctrl-C", flush=True)
            code = server.wait()
            raise Failed(f"the server ended with {code}")
    finally:
        if page:
            page.close()
        stop(server)


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
