#!/usr/bin/env python3
"""Delivery against nginx and Varnish: the same files, one core for the server and one for the client, in turns.

  benches/delivery/run.py [--rounds N] [--seconds S] [--only CASE,…] [--servers NAME,…]

A clip is made with ffmpeg and uploaded; its renditions have segments of about 1 MB (copied) and 200 kB. All that the origin serves of
it is written to a folder, from which nginx serves it (sendfile, tcp_nopush, open_file_cache, reuseport, gzip_static, no log) and,
behind a second nginx, Varnish (malloc). Every server runs on core 0 with one worker or thread, the client (benches/delivery/load.rs)
on core 1. In each round each server gets each case once, in alternating order. What a server needed is counted by the scheduler
(/proc/PID/task/*/schedstat) and divided by what it served. Prints medians in Markdown, and their ratios to nginx.

Needs nginx, varnish and ffmpeg, and the release build.
"""
import argparse, json, os, re, statistics, subprocess, sys, tempfile, urllib.parse, urllib.request
from pathlib import Path

from servers import CLIENT_CORE, ROOT, headwater, nginx, varnish

READY_S = 1800
# Connections, and what is asked of the sizes there are; the ratio to nginx that is aimed at, and to Varnish.
CASES = {
    "1 MB segments": (["--connections", "8"], "large", "GB", 0.5, 0.75),
    "1 MB segments, 64 connections": (["--connections", "64"], "large", "GB", 0.5, 0.75),
    "200 kB segments": (["--connections", "8"], "medium", "request", 0.7, None),
    "200 kB segments, 64 connections": (["--connections", "64"], "medium", "request", 0.7, None),
    "10 kB ranges": (["--connections", "8", "--range", "10000"], "large", "request", 0.7, None),
    "10 kB ranges, 64 connections": (["--connections", "64", "--range", "10000"], "large", "request", 0.7, None),
    "playlist": (["--connections", "8"], "playlist", "request", 0.75, 0.4),
    "playlist, 64 connections": (["--connections", "64"], "playlist", "request", 0.75, 0.4),
    "playlist, gzip": (["--connections", "8", "--gzip"], "playlist", "request", 0.75, 0.4),
    "playlist, gzip, 64 connections": (["--connections", "64", "--gzip"], "playlist", "request", 0.75, 0.4),
}

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("--rounds", type=int, default=5); a.add_argument("--seconds", type=float, default=3)
a.add_argument("--only", default=""); a.add_argument("--servers", default="nginx,Varnish,Headwater"); a.add_argument("--clip", help="a clip made before")
A = a.parse_args()


def client():
    """The client's program, built if it has to be."""
    built = subprocess.run(["cargo", "build", "--release", "--locked", "--bench", "load", "--message-format=json"], cwd=ROOT, check=True, capture_output=True)
    artifacts = (json.loads(line) for line in built.stdout.splitlines())
    return next(each["executable"] for each in artifacts if each.get("executable") and each["target"]["name"] == "load")


def clip(home):
    """Noise of 2 Mb/s, 720p, with a key frame every 4 s: it is copied, and its segments are 1 MB."""
    path = home / "clip.mp4"
    source = "testsrc2=s=1280x720:r=25:d=60,noise=alls=30:allf=t"
    rates = ["-b:v", "2090k", "-minrate", "2090k", "-maxrate", "2090k", "-bufsize", "2090k", "-x264-params", "nal-hrd=cbr:force-cfr=1"]
    keys = ["-g", "100", "-keyint_min", "100", "-sc_threshold", "0", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", *rates, *keys, path], check=True)
    return path


def mirror(server, root):
    """Uploads the clip and writes all that is served of it below `root`; gives the paths of the objects of each size."""
    body = Path(A.clip) if A.clip else clip(root.parent)
    url = server.origin.admin_url + "/api/v1/titles?name=bench"
    sent = subprocess.run(["curl", "-sS", "--fail", "--data-binary", f"@{body}", "-H", "Content-Type: application/octet-stream", url], check=True, capture_output=True)
    title_id = json.loads(sent.stdout)["id"]

    def ready():
        title = server.origin.get(f"/api/v1/titles/{title_id}")
        if title["state"] == "failed":
            sys.exit(f"title: {title['problem']}")
        return title if title["state"] == "ready" else None
    title = server.origin.wait_for("ready", READY_S, ready)
    sizes = {}

    def take(path):
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=60) as response:
            data = response.read()
        sizes[path] = len(data)
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        if path.endswith(".m3u8"):
            subprocess.run(["gzip", "-9", "-k", "-n", "-f", file], check=True)
            for link in re.findall(r'^[^#\s].*$|(?<=URI=")[^"]+', data.decode(), re.MULTILINE):
                linked = urllib.parse.urljoin(path, link)
                if linked not in sizes:
                    take(linked)
    take(urllib.parse.urlsplit(title["playback"]["hls"]).path)

    def nearest(suffix, size, count):
        return sorted((path for path in sizes if path.endswith(suffix)), key=lambda path: abs(sizes[path] - size))[:count]
    chosen = {"large": nearest(".m4s", 1 << 20, 8), "medium": nearest(".m4s", 200_000, 8), "playlist": nearest(".m3u8", 1500, 1)}
    for name, paths in chosen.items():
        print(f"{name}: {', '.join(str(sizes[path]) for path in paths)} bytes", file=sys.stderr)
    return chosen


def measure(server, case, load, paths):
    """CPU for one unit, and the times to the first byte, of one turn."""
    options, size, unit, *_ = CASES[case]
    before = server.cpu_s()
    command = ["taskset", "-c", str(CLIENT_CORE), load, "closed", server.address, "--seconds", str(A.seconds), *options, *paths[size]]
    seen = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    cpu_s = server.cpu_s() - before
    if seen["failures"]:
        sys.exit(f"{server.name}, {case}: {seen['failures']} requests failed")
    per_unit = cpu_s * 1e3 / (seen["bytes"] / 1e9) if unit == "GB" else cpu_s * 1e6 / seen["requests"]
    return per_unit, seen["ttfb_us"]["p99"], seen["requests"] / seen["seconds"]


def table(results):
    print("\n| case | server | CPU | of nginx's | aim | p99 to first byte | requests a second |\n|---|---|---|---|---|---|---|")
    for case in results:
        _, _, unit, aim, _ = CASES[case]
        base = None
        for name, turns in results[case].items():
            cpu, p99, rate = (statistics.median(turn[index] for turn in turns) for index in range(3))
            base = base if base is not None else cpu
            cpu_text = f"{cpu:.0f} ms/GB" if unit == "GB" else f"{cpu:.1f} µs"
            print(f"| {case} | {name} | {cpu_text} | {cpu / base:.2f} | {f'{aim}' if name == 'Headwater' else ''} | {p99 / 1000:.2f} ms | {rate:.0f} |")


def main():
    load, wanted = client(), A.only.split(",") if A.only else list(CASES)
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        (home / "www").mkdir()
        # Workers of nginx are nobody.
        os.chmod(home, 0o755)
        servers = [headwater(home / "data")]
        try:
            paths = mirror(servers[0], home / "www")
            servers[0].pin()
            servers.insert(0, nginx(home, home / "www", paths["playlist"][0]))
            if "Varnish" in A.servers:
                backend = nginx(home, home / "www", paths["playlist"][0], "backend")
                servers.insert(1, varnish(home, backend.address, paths["playlist"][0]))
                servers.append(backend)
            compared = [server for server in servers if server.name in A.servers]
            results = {case: {server.name: [] for server in compared} for case in CASES if any(case.startswith(name) for name in wanted)}
            for round_ in range(A.rounds):
                for case in results:
                    for server in compared if round_ % 2 == 0 else reversed(compared):
                        results[case][server.name].append(measure(server, case, load, paths))
                print(f"round {round_ + 1} of {A.rounds}", file=sys.stderr)
            table(results)
            for server in compared:
                print(f"\n{server.name}: {server.memory_bytes() / 2**20:.0f} MiB", end="")
        finally:
            for server in servers:
                server.stop()


main()
