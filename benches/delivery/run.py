#!/usr/bin/env python3
"""Delivery: what it costs and how it bears up, beside nginx and Varnish on the same files.

  benches/delivery/run.py [--rounds N] [--seconds S] [--only CASE,…] [--servers NAME,…] [--congestion-control NAME]
                          [--churn-seconds S] [--churn-mib N]

Clips are made with ffmpeg and uploaded. All that the origin serves of them is written to a folder, from which nginx serves it
(sendfile, tcp_nopush, open_file_cache, reuseport, gzip_static, no log) and, behind a second nginx, Varnish (malloc). Every server runs
on core 0 with one worker or thread, clients on core 1. Cases that compare servers take them in turns, in alternating order. Each case
goes --rounds times; tables of medians in Markdown, with what is aimed at and whether it is reached. Nothing gates on a figure; it only
fails where answers are wrong.

--only takes names of modules and beginnings of names of cases; without it all go. --list prints them. What a case does is told at
the head of its module:

"""
import argparse, os, subprocess, sys, tempfile
from pathlib import Path

import congestion, connections, herd, latency, memory, scan, throughput
from clients import Failed, H2Load, Load, raise_limits
from servers import certify, headwater, nginx, varnish
from titles import Shelf

MODULES = [throughput, latency, herd, scan, connections, memory]


def names(module):
    return [case if isinstance(case, str) else case.name for case in module.CASES]


class Bench:
    """What cases are given: how often and how long, the clients, the titles and the servers."""

    def __init__(self, home, options):
        self.home, self.rounds, self.seconds = home, options.rounds, options.seconds
        self.churn_seconds, self.churn_mib = options.churn_seconds, options.churn_mib
        self.everywhere = {"HEADWATER_SERVER__CONGESTION_CONTROL": options.congestion_control or ""}
        self.compared, self.started, self.stoppers = options.servers.split(","), [], []
        self.shelf = Shelf(home, options.clip)
        self.load, self.h2load = Load(self.shelf, certify(home)[0]), H2Load(self.shelf)

    def headwater(self, environment=None):
        """A server of one's own over the titles, to be stopped before the next one starts."""
        self.stop()
        return headwater(self.home, {**self.everywhere, **(environment or {})})

    def peers(self):
        """The servers that are compared, all of them running."""
        if not self.started:
            path = self.shelf.sizes()["playlist"][0]
            ours = headwater(self.home, self.everywhere)
            self.stoppers.append(ours.stop)
            ours.pin()
            started = [ours, nginx(self.home, self.shelf.www, path)]
            self.stoppers.append(started[-1].stop)
            if "Varnish" in self.compared:
                backend = nginx(self.home, self.shelf.www, path, "backend")
                self.stoppers.append(backend.stop)
                started.append(varnish(self.home, backend.address, path))
                self.stoppers.append(started[-1].stop)
            self.started = sorted((server for server in started if server.name in self.compared), key=lambda server: self.compared.index(server.name))
        return self.started

    def stop(self):
        for stop in reversed(self.stoppers):
            stop()
        self.started, self.stoppers = [], []


def parse():
    modules = "\n\n".join(f"{module.__name__} ({', '.join(names(module))})\n{module.__doc__.strip()}" for module in MODULES)
    parser = argparse.ArgumentParser(description=__doc__ + modules, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of one turn")
    parser.add_argument("--churn-seconds", type=float, default=300)
    parser.add_argument("--churn-mib", type=int, default=128, help="the cache for that")
    parser.add_argument("--only", default="", help="cases, separated by commas")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--servers", default="nginx,Varnish,Headwater")
    parser.add_argument("--congestion-control", help="has all servers use the same one; the system's is changed for the time of the run")
    parser.add_argument("--clip", help="a clip that was made before, instead of 'film'")
    return parser.parse_args()


def main():
    options = parse()
    if options.list:
        print("\n".join(f"{module.__name__}: {name}" for module in MODULES for name in names(module)))
        return
    asked = options.only.lower().split(",")

    def wanted(module):
        return lambda case: module.__name__ in asked or any(case.lower().startswith(beginning) for beginning in asked)
    modules = [module for module in MODULES if any(map(wanted(module), names(module)))]
    if not modules:
        sys.exit("no such case; --list tells them")
    raise_limits()
    failures = []
    print(congestion.told(options.congestion_control))
    with congestion.everywhere(options.congestion_control), tempfile.TemporaryDirectory() as home:
        # Workers of nginx are nobody.
        os.chmod(home, 0o755)
        bench = Bench(Path(home), options)
        # All titles are made before anything is measured: the origin that makes them is not the one that runs then.
        for name in sorted({name for module in modules for name in module.TITLES}):
            bench.shelf.title(name)
        try:
            for module in modules:
                try:
                    module.run(bench, wanted(module))
                except (Failed, subprocess.CalledProcessError) as wrong:
                    failures.append(f"{module.__name__}: {wrong}")
                    print(f"\n## {module.__name__}: failed\n\n{wrong}")
                sys.stdout.flush()
        finally:
            bench.stop()
    if failures:
        sys.exit("\n".join(failures))


main()
