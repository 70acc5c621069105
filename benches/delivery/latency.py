"""Times to the first byte at a rate that answers have no say in: half of what the slowest server can do.

Half of the requests are for a playlist, half for segments of 200 kB, over 64 connections. What a server can do is seen first, with
connections that ask again as soon as they have their answer; where the client is the slower side, it is what the client can do. Every
request has its moment from the start, and times count from there, queues included. The first second does not count.
"""
from clients import warn
from report import aim, median, ms, table

CASES = ["open loop"]
TITLES = ["film"]
CONNECTIONS = ["--connections", "64"]
WARM_S = 1


def run(bench, wanted):
    paths, servers = bench.shelf.sizes(), [server for server in bench.peers() if server.name != "Varnish"]
    mixed = paths["medium"] + paths["playlist"] * len(paths["medium"])
    seconds = ["--seconds", str(bench.seconds)]
    saturations, turns = {server.name: [] for server in servers}, {server.name: [] for server in servers}
    for round_ in range(bench.rounds):
        for server in servers if round_ % 2 == 0 else reversed(servers):
            seen = bench.load.run("closed", server, [*CONNECTIONS, *seconds], mixed)
            saturations[server.name].append(seen["requests"] / seen["seconds"])
    rate = min(median(rates) for rates in saturations.values()) / 2
    # The 99.9th percentile of fewer requests would be the worst one.
    open_ = [*CONNECTIONS, "--seconds", str(max(bench.seconds, 10_000 / rate)), "--rate", f"{rate:.0f}", "--warm", str(WARM_S)]
    for round_ in range(bench.rounds):
        for server in servers if round_ % 2 == 0 else reversed(servers):
            before = server.cpu_s()
            seen = bench.load.run("open", server, open_, mixed)
            busy = (server.cpu_s() - before) / seen["seconds"]
            turns[server.name].append([*(seen["ttfb_us"][share] for share in ("p50", "p99", "p999", "max")), busy])
        warn(f"latency: round {round_ + 1} of {bench.rounds}")
    medians = {name: [median(column) for column in zip(*each)] for name, each in turns.items()}
    rows = []
    for name, (p50, p99, p999, most, busy) in medians.items():
        cells = ("", "")
        if name == "Headwater" and "nginx" in medians:
            of_p99, of_p999 = p99 / medians["nginx"][1], p999 / medians["nginx"][2]
            reached = "yes" if of_p99 <= 1 and of_p999 <= 2 else "**no**"
            cells = (f"p99 {of_p99:.2f}, p99.9 {of_p999:.2f} of nginx's; ≤ 1, ≤ 2", reached)
        rows.append((name, f"{median(saturations[name]):.0f}", f"{rate:.0f}", f"{busy:.0%}", ms(p50), ms(p99), ms(p999), ms(most), *cells))
    headings = ("server", "most a second", "asked a second", "core busy", "p50", "p99", "p99.9", "longest", "aim", "reached")
    table("Time to the first byte, open loop", headings, rows)
