"""Connections on which little or nothing happens: what each takes of the server's memory, and whether others suffer.

  idle     10,000 that asked for a playlist once
  drip     10,000 that never end the head of their request: one more byte every 5 s
  sip      10,000 that read 1 KiB of a segment of 200 kB every 5 s; the kernel keeps at most 8 KiB for each on their side
  readers  2,000 that read 1 KiB of a body of 4 MB every second; for 15 different bodies

Limits of time are set to an hour for this, so that none is given up. Memory is that of the server's process with its file of bodies,
before and while they are held; of readers, who ask for what was not in memory before, with the bodies. Beside it is told what the kernel
counts for sockets, of both sides: for what is sent from that file it counts the file's own pages, once for each socket that has them.
Others ask meanwhile at a rate of 500 a second for a playlist and segments of 200 kB, over 8 connections, before and while the many are
held. Client and holder share a core.
"""
import time

from clients import Failed, raise_limits, warn
from report import aim, kib, median, mib, ms, table
from servers import sockets_bytes

CASES = ["idle", "drip", "sip", "readers"]
TITLES = ["film", "fat"]
MANY, READERS = 10_000, 2_000
SPARE_FILES = 200
MANY_BYTES_MAX, READER_BYTES_MAX = 12 << 10, 64 << 10
READERS_BUDGET_MIB = 128
PATIENT = {"HEADWATER_SERVER__HEADER_TIMEOUT": "1h", "HEADWATER_SERVER__IDLE_TIMEOUT": "1h", "HEADWATER_SERVER__CONNECTIONS_MAX": "30000"}
OTHERS = ["--connections", "8", "--rate", "500", "--warm", "1"]
SETTLING_S = 2


def run(bench, wanted):
    rows, most = [], raise_limits()
    paths = bench.shelf.sizes()
    for case in CASES:
        if not wanted(case):
            continue
        count = min(READERS if case == "readers" else MANY, most - SPARE_FILES)
        turns = [turn(bench, case, count, paths) for _ in range(bench.rounds)]
        warn(f"connections: {bench.rounds} rounds of '{case}'")
        before, during, sockets, p99_before, p99_during = (median(turn[index] for turn in turns) for index in range(5))
        each, figures = (during - before) / count, f"{mib(before)} → {mib(during)}"
        if case == "readers":
            limit = (READERS_BUDGET_MIB << 20) + count * READER_BYTES_MAX
            rows.append((case, f"memory in all, {count} readers", figures, *aim(during, limit, f"≤ {READERS_BUDGET_MIB} MiB and 64 KiB each: {mib(limit)}")))
            rows.append((case, "each, with its share of the bodies", kib(each), "", ""))
        else:
            rows.append((case, f"memory each, of {count}", f"{kib(each)} ({figures})", *aim(each, MANY_BYTES_MAX, "≤ 12 KiB")))
        rows.append((case, "the kernel's for sockets, both sides, each", kib(sockets / count), "", ""))
        ratio = p99_during / max(p99_before, 1)
        rows.append((case, "p99 of others, before and while they are there", f"{ms(p99_before)} → {ms(p99_during)}, {ratio:.2f}", *aim(ratio, 2)))
        rows.append((case, "given up by the server", f"{max(turn[5] for turn in turns):.0f}", *aim(max(turn[5] for turn in turns), 0, "0")))
    table("Idle and slow connections", ("case", "what", "figure", "aim", "reached"), rows)


def turn(bench, case, count, paths):
    """Memory before and during, more in sockets, the others' p99 before and during, and how many were given up."""
    asked = {"idle": paths["playlist"], "drip": paths["playlist"], "sip": paths["medium"]}.get(case)
    settings, pace = dict(PATIENT), ["--every", "5"]
    if case == "readers":
        asked, pace = bench.shelf.title("fat").segments(), ["--every", "1"]
        settings["HEADWATER_CACHE__BYTES"] = f"{READERS_BUDGET_MIB}MiB"
    server = bench.headwater(settings)
    try:
        server.pin()
        mixed = paths["medium"] + paths["playlist"] * len(paths["medium"])
        others = lambda: bench.load.run("open", server, [*OTHERS, "--seconds", str(bench.seconds)], mixed)["ttfb_us"]["p99"]
        # All that is asked for is in memory before, so that it does not count for the connections; bodies of readers count.
        warm = mixed if case == "readers" else mixed + asked
        bench.load.run("closed", server, ["--requests", str(len(warm) * 8), "--seconds", "600"], warm)
        p99_before = others()
        ends = given_up(server)
        memory, sockets = server.memory_bytes(), sockets_bytes()
        mode = "sip" if case == "readers" else case
        with bench.load.holding(mode, server, ["--connections", str(count), "--from", "50", *pace], asked) as said:
            if said["held"] != count:
                raise Failed(f"{said['held']} of {count} connections were opened")
            p99_during = others()
            time.sleep(SETTLING_S)
            during, in_sockets = server.memory_bytes(), sockets_bytes()
            open_ = server.metrics()['headwater_server_connections_open{listener="public"}']
            lost = max(count - open_, given_up(server) - ends)
        return memory, during, in_sockets - sockets, p99_before, p99_during, max(lost, said["closed"])
    finally:
        server.stop()


def given_up(server):
    """Connections that the server has ended, or never served."""
    ends = ("failed", "head-timeout", "idle", "cut", "refused")
    return sum(value for name, value in server.metrics().items() if any(f'end="{end}"' in name and 'listener="public"' in name for end in ends))
