#!/usr/bin/env python3
"""What a title costs, by kind of work; and what copying saves.

  benches/title/run.py SOURCE [--rounds N] [--seconds S]

SOURCE is cut to its first S seconds (all of it when S is 0) without re-encoding, and uploaded to `headwater serve` with its usual
settings: once with copying allowed, once with all encoded, in alternating order. Processor time of the workers is what the server
counts (`headwater_worker_cpu_seconds_total`). Prints medians in Markdown. A source that cannot be copied is encoded both times,
which is said.
"""
import argparse, os, re, statistics, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".ci"))
from origin import Origin  # noqa: E402

WORKS = ["survey", "open", "segments", "stills", "loudness"]
READY_S = 3600

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("source"); a.add_argument("--rounds", type=int, default=3); a.add_argument("--seconds", type=int, default=60)
A = a.parse_args()


def make(clip, copy):
    """Wall seconds from the end of the upload to ready, CPU seconds by kind of work, and the methods of the renditions."""
    allowed = "true" if copy else "false"
    with tempfile.TemporaryDirectory() as home:
        origin = Origin(Path(home), environment={"HEADWATER_VIDEO__COPY": allowed, "HEADWATER_AUDIO__COPY": allowed})
        try:
            url = origin.admin_url + "/api/v1/titles?name=clip"
            sent = subprocess.run(["curl", "-sS", "--fail", "--data-binary", "@" + clip, "-H", "Content-Type: application/octet-stream", url], check=True, capture_output=True).stdout
            began = time.monotonic()
            title_id = re.search(rb'"id":"(\w+)"', sent).group(1).decode()

            def look():
                title = origin.get(f"/api/v1/titles/{title_id}")
                if title["state"] == "failed": sys.exit(f"title: {title['problem']}")
                return title if title["state"] == "ready" else None
            title = origin.wait_for("ready", READY_S, look)
            wall = time.monotonic() - began
            metrics = urllib.request.urlopen(origin.admin_url + "/metrics", timeout=30).read().decode()
        finally:
            origin.stop()
    cpu = {work: float(value) for work, value in re.findall(r'worker_cpu_seconds_total\{work="(\w+)"\} (\S+)', metrics)}
    methods = [each["method"] for each in title["renditions"] + title["audio_renditions"]]
    return wall, cpu, methods


with tempfile.TemporaryDirectory() as work:
    clip = os.path.join(work, "clip" + os.path.splitext(A.source)[1])
    cut = ["-t", str(A.seconds)] if A.seconds else []
    subprocess.run(["ffmpeg", "-v", "error", "-i", A.source, *cut, "-map", "0", "-c", "copy", clip], check=True)
    runs = {True: [], False: []}
    for round_ in range(A.rounds):
        for copy in ([True, False] if round_ % 2 == 0 else [False, True]):
            runs[copy].append(make(clip, copy))
            print(f"round {round_ + 1}, {'copying' if copy else 'encoding'}: {runs[copy][-1][0]:.1f} s", file=sys.stderr)

print(f"\n| | {' | '.join(['wall s', *[work + ' CPU s' for work in WORKS], 'sum'])} |\n|---|{'---|' * (len(WORKS) + 2)}")
medians = {}
for copy, name in [(True, "copying where it can be"), (False, "all encoded")]:
    wall = statistics.median(run[0] for run in runs[copy])
    cpu = [statistics.median(run[1].get(work, 0.0) for run in runs[copy]) for work in WORKS]
    medians[copy] = (wall, cpu)
    print(f"| {name} | {wall:.1f} | {' | '.join(f'{value:.2f}' for value in cpu)} | {sum(cpu):.2f} |")
(wall, cpu), (wall_all, cpu_all) = medians[True], medians[False]
print(f"| ratio | {wall / wall_all:.3f} | {' | '.join(['' for _ in WORKS])} | {sum(cpu) / sum(cpu_all):.3f} |")
share = lambda work, cpu: 100 * cpu[WORKS.index(work)] / sum(cpu)
print(f"\nShare of all, with all encoded: stills {share('stills', cpu_all):.2f} %, loudness {share('loudness', cpu_all):.2f} %, "
      f"survey {share('survey', cpu_all):.2f} %.")
print(f"Methods when copying is allowed: {', '.join(runs[True][0][2])}.")
