"""Memory of the server while keys come and go, and under a flood of paths that name nothing.

  churn  segments at random out of more than the cache holds (its size is --churn-mib), of 10 kB to 4 MB, for as long as
         --churn-seconds says: an hour for the true figure; memory is looked at every half a second
  404s   100,000 requests for what is not there, then 900,000 more: unknown titles, versions that never were, segments
         beyond the end, pictures; memory between and after

Memory is all of the server's process: program, threads, cache with its file of bodies.
"""
import threading

from clients import warn
from report import aim, median, mib, table

CASES = ["churn", "404s"]
TITLES = ["film", "long", "fat"]
FIRST, ALL = 100_000, 1_000_000
FLAT_BYTES = 2 << 20


class Watch:
    """Looks at a server's memory until it is told to stop."""

    def __init__(self, server, every_s=0.5):
        self.server, self.every_s, self.seen, self.stopped = server, every_s, [], threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.stopped.wait(self.every_s):
            self.seen.append(self.server.memory_parts())

    def __enter__(self):
        self.thread.start()
        return self.seen

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        self.seen.append(self.server.memory_parts())


def run(bench, wanted):
    rows = []
    if wanted("churn"):
        rows += churn(bench)
    if wanted("404s"):
        rows += unknown(bench)
    table(f"Memory, with a cache of {bench.churn_mib} MiB", ("case", "what", "figure", "aim", "reached"), rows)


def start(bench):
    server = bench.headwater({"HEADWATER_CACHE__BYTES": f"{bench.churn_mib}MiB"})
    server.pin()
    return server


def churn(bench):
    titles = [bench.shelf.title(name) for name in ("long", "fat", "film")]
    # Most requests are for the title that has most keys.
    paths = titles[0].segments() * 2 + titles[1].segments() * 4 + [path for path in titles[2].sizes if path.endswith(".m4s")]
    keys = sum(title.sizes[path] for title in titles for path in set(paths) & set(title.sizes))
    server = start(bench)
    try:
        before = server.memory_parts()
        with Watch(server) as seen:
            answers = bench.load.run("closed", server, ["--connections", "16", "--seconds", str(bench.churn_seconds)], paths)
        metrics = server.metrics()
    finally:
        server.stop()
    warn("memory: churn")
    limit = (bench.churn_mib << 20) * 5 // 4
    most, third = max(map(sum, seen)), len(seen) // 3 or 1
    parts = lambda some: " + ".join(mib(median(column)) for column in zip(*some))
    figure = lambda name: f"{metrics[f'headwater_cache_{name}_total']:.0f}"
    return [
        ("churn", f"most, in {bench.churn_seconds:.0f} s", mib(most), *aim(most, limit, f"≤ {mib(limit)}")),
        ("churn", "its pages + its file of bodies: at the start", parts([before]), "", ""),
        ("churn", "median of the first third; of the last third", f"{parts(seen[:third])}; {parts(seen[-third:])}", "", ""),
        ("churn", "answers; bytes of all keys", f"{answers['requests']}; {mib(keys)}", "", ""),
        ("churn", "filled, evicted", f"{figure('fills')}, {figure('evictions')}", "", ""),
    ]


def unknown(bench):
    title = bench.shelf.title("long").id
    paths = [f"/t/{title[:-10]}{{0}}/main.m3u8", f"/t/{title}/{{}}/v0/index.m3u8", f"/t/{title}/1/v0/1{{0}}.m4s", f"/t/{title}/1/sprite-9{{}}.jpg"]
    server = start(bench)
    try:
        flood = lambda count: bench.load.run("closed", server, ["--connections", "16", "--requests", str(count), "--seconds", "3600", "--status", "404"], paths, expect=False)
        before = server.memory_bytes()
        flood(FIRST)
        between = server.memory_bytes()
        with Watch(server) as seen:
            flood(ALL - FIRST)
        negatives = server.metrics()["headwater_cache_negatives"]
    finally:
        server.stop()
    warn("memory: 404s")
    growth = max(map(sum, seen)) - between
    return [
        ("404s", f"before, after {FIRST}, after {ALL}", f"{mib(before)}, {mib(between)}, {mib(sum(seen[-1]))}", "", ""),
        ("404s", f"most more after {FIRST}", mib(growth), *aim(growth, FLAT_BYTES, f"≤ {mib(FLAT_BYTES)}")),
        ("404s", "absences remembered at the end", f"{negatives:.0f}", "", ""),
    ]
