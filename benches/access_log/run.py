#!/usr/bin/env python3
"""What the access log costs: answers out of memory with the log off, as JSON and in the Combined Log Format.

  benches/access_log/run.py SOURCE [--rounds N] [--seconds S]

SOURCE is uploaded once; then a server over that library is started anew for each run, pinned to core 0 where there are several cores, and
asked by wrk, pinned to core 1, over kept connections, for a playlist and for a segment. Each side goes in turn, in alternating order. Prints
medians of answers a second and of the server's processor time for an answer, in Markdown, and how many lines were lost.
"""
import argparse, os, re, statistics, subprocess, sys, tempfile, urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".ci"))
from origin import Origin, bound_addresses  # noqa: E402

READY_S = 3600
SIDES = ["off", "json", "clf"]
CONNECTIONS = 32
CMCD = "CMCD=bl%3D21300%2Cbr%3D3200%2Cd%3D4004%2Cmtp%3D48100%2Cot%3Dv%2Csf%3Dh%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Cst%3Dv%2Ctb%3D6000"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("source"); a.add_argument("--rounds", type=int, default=3); a.add_argument("--seconds", type=int, default=8)
A = a.parse_args()
several = len(os.sched_getaffinity(0)) > 1


def pinned(core):
    return (lambda: os.sched_setaffinity(0, {core})) if several else None


def cpu_s(pid):
    """Processor time of a process so far, all of its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(origin, home, path, seconds):
    """Answers a second, and microseconds of the server's processor time for each."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"User-Agent: {AGENT}", "-H", "Referer: https://media.example.com/watch",
               f"http://{bound_addresses(home / 'run.json')['listen']}{path}?{CMCD}"]
    began = cpu_s(origin.server.pid)
    said = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=pinned(1)).stdout
    took = cpu_s(origin.server.pid) - began
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    count, seconds = re.search(r"(\d+) requests in ([\d.]+)s", said).groups()
    return int(count) / float(seconds), took * 1e6 / int(count)


def prepare(home):
    """Uploads the source; gives the paths of a playlist and of a segment."""
    origin = Origin(home)
    try:
        url = origin.admin_url + "/api/v1/titles?name=clip"
        sent = subprocess.run(["curl", "-sS", "--fail", "-X", "POST", "-T", A.source, url], check=True, capture_output=True).stdout
        title_id = re.search(rb'"id":"(\w+)"', sent).group(1).decode()
        title = origin.wait_for("ready", READY_S, lambda: (lambda t: t if t["state"] in ("ready", "failed") else None)(origin.get(f"/api/v1/titles/{title_id}")))
        if title["state"] == "failed": sys.exit(f"title: {title['problem']}")
        main = urllib.request.urlopen(title["playback"]["hls"], timeout=30).read().decode()
        playlist = next(line for line in main.splitlines() if line and not line.startswith("#"))
        base = f"/t/{title_id}/"
        return base + playlist, base + playlist.replace("index.m3u8", "0.m4s")
    finally:
        origin.stop()


def run(home, side, paths):
    log = home / "access.log"
    log.unlink(missing_ok=True)
    environment = {"HEADWATER_ACCESS_LOG__FORMAT": side, "HEADWATER_ACCESS_LOG__PATH": str(log)}
    origin = Origin(home, environment=environment)
    try:
        # All of its threads, those to come too.
        if several:
            for thread in os.listdir(f"/proc/{origin.server.pid}/task"): os.sched_setaffinity(int(thread), {0})
        for path in paths: ask(origin, home, path, 1)
        results = [ask(origin, home, path, A.seconds) for path in paths]
        metrics = urllib.request.urlopen(origin.admin_url + "/metrics", timeout=30).read().decode()
    finally:
        origin.stop()
    return results, int(re.search(r"access_log_lost_total (\d+)", metrics).group(1))


with tempfile.TemporaryDirectory() as work:
    home = Path(work)
    paths = prepare(home)
    runs, lost = {side: [] for side in SIDES}, {side: 0 for side in SIDES}
    for round_ in range(A.rounds):
        for side in SIDES if round_ % 2 == 0 else SIDES[::-1]:
            results, gone = run(home, side, paths)
            runs[side].append(results); lost[side] += gone
            print(f"round {round_ + 1}, {side}: " + ", ".join(f"{rate:.0f}/s {us:.1f} us" for rate, us in results), file=sys.stderr)

print("\n| log | playlists a second | CPU us each | segments a second | CPU us each | lines lost |\n|---|---|---|---|---|---|")
medians = {}
for side in SIDES:
    medians[side] = [statistics.median(results[what][figure] for results in runs[side]) for what in (0, 1) for figure in (0, 1)]
    rate, us, segment_rate, segment_us = medians[side]
    print(f"| {side} | {rate:.0f} | {us:.1f} | {segment_rate:.0f} | {segment_us:.1f} | {lost[side]} |")
for side in SIDES[1:]:
    ratios = [ours / off for ours, off in zip(medians[side], medians["off"])]
    print(f"| {side} / off | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " | |")
