"""A herd: clients that ask for one segment all at the same moment, which is in the store alone.

The server is started anew for each round, so that its cache is empty; the files are in the system's cache. Four times are taken,
each from the moment of asking to the last byte of the last answer, and every byte is compared with the file:

  one        one client asks for a segment that is not in memory; median of two such segments
  same bytes one client asks for another such segment as many times as the herd has heads, one after the other
  cold       the herd asks for another such segment; median of three
  hot        the herd asks for each of these again, from memory; median of three
"""
from clients import Failed, warn
from report import aim, median, ms, table

CASES = ["herd"]
TITLES = ["film"]
HEADS = 1000
ONES, HERDS = 2, 3


def run(bench, wanted):
    film, rows = bench.shelf.title("film"), []
    for name, size in (("1 MB", 1 << 20), ("200 kB", 200_000)):
        # Backwards and every other one, so that none is read ahead.
        paths = sorted(film.nearest(".m4s", size, 12), key=lambda path: int(path.rsplit("/", 1)[1].split(".")[0]), reverse=True)[::2]
        if len(paths) < ONES + 1 + HERDS:
            raise Failed("there are too few segments")
        turns = [turn(bench, paths) for _ in range(bench.rounds)]
        warn(f"herd: {bench.rounds} rounds of {name}")
        one, same, cold, hot = (median(turn[index] for turn in turns) for index in range(4))
        reads = max(turn[4] for turn in turns)
        rows.append((name, "reads from the store, at most", f"{reads:g}", *aim(reads, 1, "1")))
        rows.append((name, "not the first, and waited for it or found it", f"{median(turn[5] for turn in turns):.0f}", "", ""))
        rows.append((name, "one client, cold", ms(one), "", ""))
        rows.append((name, f"one client, {HEADS} times, the first time cold", ms(same), "", ""))
        rows.append((name, f"{HEADS} clients, hot: the slowest", ms(hot), "", ""))
        rows.append((name, f"{HEADS} clients, cold: the slowest", ms(cold), "", ""))
        rows.append((name, "the herd, of one client and one body", f"{cold / one:.2f}", "", ""))
        rows.append((name, "the herd, of one client and as many bytes", f"{cold / same:.2f}", *aim(cold / same, 3)))
        more = median((turn[2] - turn[3]) / turn[0] for turn in turns)
        rows.append((name, "the herd less what sending alone takes (cold - hot), of one client", f"{more:.2f}", *aim(more, 3)))
    table(f"{HEADS} clients for one segment", ("segment", "what", "figure", "aim", "reached"), rows)


def turn(bench, paths):
    server = bench.headwater()
    try:
        server.pin()
        ask = lambda heads, path: bench.load.run("herd", server, ["--connections", str(heads), "--verify", "1"], [path])
        # So that nothing but the segment is new.
        ask(1, bench.shelf.sizes()["playlist"][0])
        one = median(ask(1, path)["whole_us"]["max"] for path in paths[:ONES])
        same = bench.load.run("closed", server, ["--requests", str(HEADS), "--seconds", "600", "--verify", "1"], [paths[ONES]])
        before = server.metrics()
        colds = [ask(HEADS, path) for path in paths[ONES + 1 : ONES + 1 + HERDS]]
        after = server.metrics()
        hots = [ask(HEADS, path) for path in paths[ONES + 1 : ONES + 1 + HERDS]]
        if min(seen["verified"] for seen in [same, *colds, *hots]) < HEADS:
            raise Failed("not every answer was checked")
        slowest = lambda herds: median(seen["whole_us"]["max"] for seen in herds)
        more = lambda name: after[f"headwater_cache_{name}_total"] - before[f"headwater_cache_{name}_total"]
        # A fill that read its body twice would count here too; what an object takes beside its body is little.
        bodies = more("filled_bytes") / (sum(seen["bytes"] for seen in colds) / HEADS)
        reads = max((more("fills") + more("failed_fills")) / HERDS, round(bodies, 1))
        return one, same["seconds"] * 1e6, slowest(colds), slowest(hots), reads, (more("hits") + more("collapsed")) / HERDS
    finally:
        server.stop()
