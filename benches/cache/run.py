#!/usr/bin/env python3
"""Memory of the server under a flood of unknown paths, and under churn of keys with a small cache.

Starts the server over a fresh directory, uploads a film, and asks over a few connections that stay open. Prints the resident memory
of the server before, during and after. `--help` has the options."""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


class Connection:
    """Keep-alive HTTP/1.1, as little as it takes."""

    def __init__(self, address):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b""

    def send(self, paths):
        self.socket.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() for path in paths))

    def answer(self):
        while b"\r\n\r\n" not in self.left:
            self.read()
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while length > len(self.left):
            length -= len(self.left)
            self.left = b""
            self.read()
        self.left = self.left[length:]
        return int(head[9:12])

    def read(self):
        more = self.socket.recv(1 << 18)
        if not more:
            raise ConnectionError("the server closed")
        self.left += more


def flood(address, paths, connections, batch=64):
    """Asks for paths made by `paths(number)`, in batches; statuses by count, and seconds."""
    statuses, lock = {}, threading.Lock()

    def work(numbers):
        connection, seen = Connection(address), {}
        for begin in range(0, len(numbers), batch):
            some = numbers[begin : begin + batch]
            connection.send([paths(number) for number in some])
            for _ in some:
                status = connection.answer()
                seen[status] = seen.get(status, 0) + 1
        with lock:
            for status, count in seen.items():
                statuses[status] = statuses.get(status, 0) + count

    def run(numbers):
        before = time.monotonic()
        threads = [threading.Thread(target=work, args=(numbers[index::connections],)) for index in range(connections)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return statuses, time.monotonic() - before

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="media/samples/bunny.mp4")
    parser.add_argument("--server", default="target/release/headwater")
    parser.add_argument("--requests", type=int, default=1_000_000, help="unknown paths asked for")
    parser.add_argument("--churn", type=float, default=60, help="seconds of churn")
    parser.add_argument("--cache", type=int, default=16, help="MiB of the cache")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environment = dict(os.environ, HEADWATER_CACHE__BYTES=f"{options.cache}MiB", HEADWATER_VIDEO__PRESET="ultrafast", HEADWATER_LOG__FILTER="error")
        command = [options.server, "serve", "--data", f"{home}/data", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        server = subprocess.Popen(command, env=environment)
        try:
            measure(server, home, options)
        finally:
            server.terminate()
            server.wait()


def measure(server, home, options):
    while not os.path.exists(f"{home}/data/run.json"):
        time.sleep(0.05)
    run = json.load(open(f"{home}/data/run.json"))
    host, port = run["listen"].rsplit(":", 1)
    address, admin = (host, int(port)), f"http://{run['admin']}/api/v1/titles"
    with open(options.source, "rb") as film:
        title = json.load(urllib.request.urlopen(urllib.request.Request(f"{admin}?name=film", film.read(), method="POST")))["id"]
    while True:
        state = json.load(urllib.request.urlopen(f"{admin}/{title}"))
        if state["state"] in ("ready", "failed"):
            break
        time.sleep(0.5)
    assert state["state"] == "ready", state
    tracks = [f"v{index}" for index in range(len(state["renditions"]))]
    segments = state["progress"]["segments_total"] // (len(tracks) + 1) if state["progress"] else 0
    segments = segments or state["duration_ms"] // 4000
    print(f"{len(tracks)} sizes, about {segments} segments each; cache {options.cache} MiB")
    say = lambda what: print(f"{what}: {rss_kib(server.pid) / 1024:.1f} MiB resident", flush=True)

    def unknown(number):
        kind = number % 4
        if kind == 0:  # an unknown title
            return f"/t/{random.Random(number).getrandbits(120):026d}"[:29].replace("/t/", "/t/0") + "/main.m3u8"
        if kind == 1:  # a generation that never was
            return f"/t/{title}/{number + 10}/v0/index.m3u8"
        if kind == 2:  # a segment beyond the end
            return f"/t/{title}/1/v0/{number + 100_000}.m4s"
        return f"/t/{title}/1/sprite-{number % 60_000 + 100}.jpg"

    say("ready")
    warm = options.requests // 10
    statuses, _ = flood(address, unknown, 8)(range(warm))
    say(f"after {warm} unknown paths")
    statuses, seconds = flood(address, unknown, 8)(range(warm, options.requests))
    say(f"after {options.requests}")
    print(f"statuses {statuses}, {(options.requests - warm) / seconds:.0f} a second")

    peak, end, asked = 0, time.monotonic() + options.churn, 0
    picks = lambda number: f"/t/{title}/1/{random.choice(tracks)}/{random.randrange(segments)}.m4s"
    say("before churn")
    while time.monotonic() < end:
        statuses, _ = flood(address, picks, 8, batch=4)(range(400))
        asked += sum(statuses.values())
        peak = max(peak, rss_kib(server.pid))
    say(f"after {asked} segments in {options.churn:.0f} s")
    print(f"most during churn: {peak / 1024:.1f} MiB")
    metrics = urllib.request.urlopen(f"http://{run['admin']}/metrics").read().decode()
    print("\n".join(line for line in metrics.splitlines() if line.startswith("headwater_cache_")))


if __name__ == "__main__":
    sys.exit(main())
