"""The clients: the one of benches/delivery/load for HTTP/1.1, and h2load for HTTP/2. Both check what they get."""
import contextlib, json, os, re, resource, subprocess, sys

from servers import CLIENT_CORE, ROOT, pinned

H2_CLIENTS, H2_STREAMS = 8, 16


class Failed(Exception):
    """A request was not answered as it should be."""


def build():
    """The program of `load`, built if it has to be: LOAD names it."""
    if "LOAD" in os.environ:
        return os.environ["LOAD"]
    command = ["cargo", "build", "--release", "--locked", "--bench", "load", "--message-format=json"]
    built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    artifacts = (json.loads(line) for line in built.stdout.splitlines())
    return next(each["executable"] for each in artifacts if each.get("executable") and each["target"]["name"] == "load")


def raise_limits():
    """As many files as may be open, for this process and its children."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Load:
    """Runs `load` on the client's core."""

    def __init__(self, shelf, certificate):
        self.program, self.shelf, self.certificate = build(), shelf, certificate

    def command(self, mode, server, options, paths, way="plain"):
        secured = ["--tls", self.certificate] if way == "tls" else []
        return pinned(self.program, mode, server.addresses[way], *secured, *options, *paths, core=CLIENT_CORE)

    def run(self, mode, server, options, paths, way="plain", expect=True):
        """What it saw; fails if any answer was wrong. With `expect` answers are compared with the files."""
        expected = ["--expect", self.shelf.www] if expect else []
        ran = subprocess.run(self.command(mode, server, [*options, *expected], paths, way), capture_output=True)
        if ran.returncode:
            raise Failed(f"{server.name}: {ran.stderr.decode().strip()}")
        seen = json.loads(ran.stdout)
        if seen["failures"] or (expect and "--gzip" not in options and not seen["verified"]):
            raise Failed(f"{server.name}: {seen['failures']} requests failed, {seen['verified']} were checked; {seen['failure']}")
        return seen

    @contextlib.contextmanager
    def holding(self, mode, server, options, paths):
        """Has it hold connections; gives a place for what it says of them at the end."""
        process = subprocess.Popen(self.command(mode, server, options, paths), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        said = {}
        try:
            line = process.stdout.readline()
            if not line:
                raise Failed(f"{server.name}: the connections could not be opened")
            said.update(json.loads(line))
            yield said
        finally:
            said.update(json.loads(process.communicate()[0] or "{}"))


class H2Load:
    """Runs h2load on the client's core, for about as long as it shall take."""

    def __init__(self, shelf):
        self.shelf, self.rates = shelf, {}

    def run(self, server, paths, way, seconds):
        scheme, address = "https" if way == "h2" else "http", server.addresses[way]
        sizes = [(self.shelf.www / path.lstrip("/")).stat().st_size for path in paths]
        # So that each client asks for each path equally often.
        unit = H2_CLIENTS * len(paths)

        def ask(count):
            options = ["-c", H2_CLIENTS, "-m", H2_STREAMS, "-n", count, "--tls13-ciphers=TLS_AES_128_GCM_SHA256"]
            command = pinned("h2load", *options, *(f"{scheme}://{address}{path}" for path in paths), core=CLIENT_CORE)
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            return h2_seen(said, server, count, count // len(paths) * sum(sizes), way == "h2")
        rate = self.rates.get((server.name, way, tuple(paths)))
        if rate is None:
            trial = ask(unit * 8)
            rate = self.rates[(server.name, way, tuple(paths))] = trial["requests"] / trial["seconds"]
        return ask(max(1, round(rate * seconds / unit)) * unit)


def h2_seen(said, server, count, bytes_, secured):
    """What h2load tells, if all went well."""
    good = int(re.search(r"status codes: (\d+) 2xx", said).group(1))
    data = int(re.search(r"traffic: .* headers .*, \S+ \((\d+)\) data", said).group(1))
    if good != count or data != bytes_:
        raise Failed(f"{server.name}: {good} of {count} answers were good, with {data} of {bytes_} bytes")
    if secured and ("Cipher: TLS_AES_128_GCM_SHA256" not in said or "Application protocol: h2" not in said):
        raise Failed(f"{server.name}: {said}")
    seconds, unit = re.search(r"finished in ([\d.]+)(us|ms|s|m)", said).groups()
    return {"requests": count, "bytes": data, "seconds": float(seconds) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]}


def warn(text):
    print(text, file=sys.stderr, flush=True)
