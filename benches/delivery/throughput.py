"""What an answer costs: processor time of the server for a gigabyte or a request, against nginx and Varnish.

Each connection asks again as soon as it has its answer. What a server needed is counted by the scheduler and divided by what it
served. TLS is 1.3 with TLS_AES_128_GCM_SHA256 for all; the kernel encrypts for none of them. HTTP/2 is 8 connections of 16 streams.
"""
from dataclasses import dataclass

from clients import warn
from report import aim, median, ms, table
from servers import WAYS

TITLES = ["film"]


@dataclass(frozen=True)
class Case:
    name: str
    way: str
    """How the servers are spoken to, one of WAYS."""
    options: tuple
    size: str
    unit: str
    of_nginx: float
    of_varnish: float = None


def both(name, size, unit, of_nginx, of_varnish=None, *options):
    """Over few connections, and over many."""
    case = lambda name, count: Case(name, "plain", ("--connections", str(count), *options), size, unit, of_nginx, of_varnish)
    return [case(name, 8), case(f"{name}, 64 connections", 64)]


CASES = [
    *both("1 MB segments", "large", "GB", 0.5, 0.75),
    *both("200 kB segments", "medium", "request", 0.7),
    *both("10 kB ranges", "large", "request", 0.7, None, "--range", "10000"),
    *both("playlist", "playlist", "request", 0.75, 0.4),
    *both("playlist, gzip", "playlist", "request", 0.75, 0.4, "--gzip"),
    Case("TLS, 1 MB segments", "tls", ("--connections", "8"), "large", "GB", 0.8),
    Case("TLS, 1 MB segments, 64 connections", "tls", ("--connections", "64"), "large", "GB", 0.8),
    Case("h2c, playlist", "h2c", (), "playlist", "request", 0.6),
    Case("h2c, 1 MB segments", "h2c", (), "large", "GB", 0.8),
    Case("h2, TLS, playlist", "h2", (), "playlist", "request", 0.6),
    Case("h2, TLS, 1 MB segments", "h2", (), "large", "GB", 0.8),
]
assert all(case.way in WAYS for case in CASES)


def measure(bench, server, case, paths):
    """Processor time for one unit, the 99th percentile of the times to the first byte, and requests a second, of one turn."""
    if case.way.startswith("h2"):
        # So that it is known how many requests take so long, and nothing is new to the server.
        bench.h2load.run(server, paths[case.size], case.way, 0.1)
        before = server.cpu_s()
        seen = bench.h2load.run(server, paths[case.size], case.way, bench.seconds)
        p99 = None
    else:
        before = server.cpu_s()
        seen = bench.load.run("closed", server, [*case.options, "--seconds", str(bench.seconds)], paths[case.size], case.way)
        p99 = seen["ttfb_us"]["p99"]
    cpu_s = server.cpu_s() - before
    per_unit = cpu_s * 1e3 / (seen["bytes"] / 1e9) if case.unit == "GB" else cpu_s * 1e6 / seen["requests"]
    return per_unit, p99, seen["requests"] / seen["seconds"]


def run(bench, wanted):
    paths, servers = bench.shelf.sizes(), bench.peers()
    cases = [case for case in CASES if wanted(case.name)]
    results = {case: {server.name: [] for server in servers if case.way in server.addresses} for case in cases}
    for round_ in range(bench.rounds):
        for case in cases:
            for server in servers if round_ % 2 == 0 else reversed(servers):
                if case.way in server.addresses:
                    results[case][server.name].append(measure(bench, server, case, paths))
        warn(f"throughput: round {round_ + 1} of {bench.rounds}")
    rows = []
    for case in cases:
        medians = {name: [median(column) if column[0] is not None else None for column in zip(*turns)] for name, turns in results[case].items()}
        for name, (cpu, p99, rate) in medians.items():
            of = lambda other: cpu / medians[other][0] if other in medians else None
            of_nginx, of_varnish = of("nginx"), of("Varnish")
            cells = ("", "")
            if name == "Headwater" and of_nginx is not None:
                cells = aim(of_nginx, case.of_nginx)
                if case.of_varnish and of_varnish is not None:
                    reached = of_nginx <= case.of_nginx and of_varnish <= case.of_varnish
                    cells = (f"≤ {case.of_nginx}, {case.of_varnish}", "yes" if reached else "**no**")
            cpu_text = f"{cpu:.0f} ms/GB" if case.unit == "GB" else f"{cpu:.1f} µs"
            ratio = lambda value: "" if value is None else f"{value:.2f}"
            rows.append((case.name, name, cpu_text, ratio(of_nginx), ratio(of_varnish), *cells, "" if p99 is None else ms(p99), f"{rate:.0f}"))
    headings = ("case", "server", "CPU", "of nginx's", "of Varnish's", "aim", "reached", "p99 to first byte", "requests a second")
    table("What an answer costs", headings, rows)
