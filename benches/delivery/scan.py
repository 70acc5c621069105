"""A crawler that reads ten times the cache while viewers stay with a few segments.

The viewers' segments (the hot set) fill six tenths of what the cache keeps for objects; most of their requests are for few of them. The
crawler asks for other segments, one after the other, three for each request of a viewer. Whether an answer was in memory is what its
`Cache-Status` says. The ratio of the hot set is taken alone, then during the scan. The same requests go through a model of a cache of
the whole budget that drops what was not used for the longest time (LRU), whose books take no room.
"""
import collections, random, socket

from clients import Failed, warn
from report import median, table

CASES = ["scan"]
TITLES = ["long"]
BUDGET_MIB = 16
SCANS_PER_HIT = 3
AIM_POINTS = 5


class Connection:
    """Keep-alive HTTP/1.1, as little as it takes."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = memoryview(bytearray(1 << 18))

    def was_hit(self, path, length):
        """Asks, reads the answer of that length, and tells whether it was in memory."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.read()
        head, body = head.split(b"\r\n\r\n", 1)
        got = len(body)
        while got < length:
            got += len(self.read())
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if not head.startswith(b"HTTP/1.1 200") or got != length or int(fields[b"content-length"]) != length:
            raise Failed(f"{path}: {head!r}")
        if b"cache-status" not in fields:
            raise Failed(f"{path}: there is no Cache-Status")
        return b"; hit" in fields[b"cache-status"]

    def read(self):
        count = self.socket.recv_into(self.buffer)
        if not count:
            raise Failed("the server closed")
        return self.buffer[:count].tobytes()


class Lru:
    def __init__(self, bytes_max):
        self.bytes_max, self.bytes, self.kept = bytes_max, 0, collections.OrderedDict()

    def was_hit(self, path, length):
        if path in self.kept:
            self.kept.move_to_end(path)
            return True
        self.kept[path] = length
        self.bytes += length
        while self.bytes > self.bytes_max:
            self.bytes -= self.kept.popitem(last=False)[1]
        return False


def turn(bench, title, dice):
    """Hit ratios of the hot set in percent, (alone, during the scan), of the server and of the model."""
    server = bench.headwater({"HEADWATER_CACHE__BYTES": f"{BUDGET_MIB}MiB"})
    try:
        budget, segments = BUDGET_MIB << 20, title.segments()
        hot, left = [], budget * 12 // 16 * 6 // 10
        while left > 0:
            hot.append(segments[len(hot)])
            left -= title.sizes[hot[-1]]
        crawled = segments[len(hot) :]
        if sum(title.sizes[path] for path in crawled) < 10 * budget:
            raise Failed("the title is too short for the scan")
        viewers, crawler, lru = Connection(server.address), Connection(server.address), Lru(budget)

        def ask(connection, path):
            return connection.was_hit(path, title.sizes[path]), lru.was_hit(path, title.sizes[path])

        def view():
            # As viewers are: most of them at few objects.
            return ask(viewers, hot[min(dice.randrange(len(hot)), dice.randrange(len(hot)))])
        for _ in range(20 * len(hot)):
            view()
        count = len(crawled) // SCANS_PER_HIT
        alone = [view() for _ in range(count)]
        during = []
        for number in range(count):
            during.append(view())
            for path in crawled[number * SCANS_PER_HIT : (number + 1) * SCANS_PER_HIT]:
                ask(crawler, path)
        percent = lambda hits, which: 100 * sum(hit[which] for hit in hits) / len(hits)
        return [(percent(alone, which), percent(during, which)) for which in (0, 1)]
    finally:
        server.stop()


def run(bench, wanted):
    title, dice = bench.shelf.title("long"), random.Random(7)
    turns = []
    for round_ in range(bench.rounds):
        turns.append(turn(bench, title, dice))
        warn(f"scan: round {round_ + 1} of {bench.rounds}")
    rows = []
    lru = median(each[1][1] for each in turns)
    for which, name in ((0, "Headwater"), (1, "LRU of the whole budget (model)")):
        alone, during = (median(each[which][phase] for each in turns) for phase in (0, 1))
        fall = median(each[which][0] - each[which][1] for each in turns)
        cells = (f"≤ {AIM_POINTS} points, above LRU", "yes" if fall <= AIM_POINTS and during > lru else "**no**") if which == 0 else ("", "")
        rows.append((name, f"{alone:.1f} %", f"{during:.1f} %", f"{fall:.1f} points", *cells))
    headings = ("cache", "hot set alone", "during the scan", "fall", "aim", "reached")
    table(f"A scan of ten times the cache ({BUDGET_MIB} MiB)", headings, rows)
