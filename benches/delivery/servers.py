"""The servers that the bench compares, on the same files, each pinned to one core."""
import contextlib, glob, os, re, resource, signal, socket, subprocess, sys, time, urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".ci"))
from origin import ROOT, Origin, bound_addresses  # noqa: E402, F401

SERVER_CORE, CLIENT_CORE = 0, 1
# Plain HTTP/1.1, the same within TLS, HTTP/2 by prior knowledge, the same within TLS.
WAYS = ["plain", "tls", "h2c", "h2"]

NGINX = """
worker_processes 1; daemon off; pid {home}/nginx.pid; error_log {home}/nginx.err; worker_rlimit_nofile {files};
events {{ worker_connections 32768; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; keepalive_timeout 1h; gzip_static on; gzip_vary on;
  open_file_cache max=10000 inactive=1h; open_file_cache_valid 1h;
  client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s mp4; }}
  ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  http2_chunk_size 16k;
  server {{
    listen 127.0.0.1:{plain} reuseport backlog=4096; listen 127.0.0.1:{tls} ssl reuseport backlog=4096;
    listen 127.0.0.1:{h2c} http2 reuseport backlog=4096; listen 127.0.0.1:{h2} ssl http2 reuseport backlog=4096;
    root {root}; add_header Cache-Control "public, max-age=31536000, immutable";
  }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pinned(*command, core=SERVER_CORE):
    return ["taskset", "-c", str(core), *map(str, command)]


def children(pid):
    return [int(word) for path in glob.glob(f"/proc/{pid}/task/*/children") for word in Path(path).read_text().split()]


def cpu_s(pid):
    """Seconds that all threads of a process have run, as the scheduler counts them."""
    return sum(int(Path(path).read_text().split()[0]) for path in glob.glob(f"/proc/{pid}/task/*/schedstat")) / 1e9


def sockets_bytes():
    """What the kernel keeps in sockets, of all processes."""
    text = Path("/proc/net/sockstat").read_text()
    return int(re.search(r"^TCP: .*mem (\d+)", text, re.MULTILINE).group(1)) * os.sysconf("SC_PAGE_SIZE")


class Server:
    """A running server: its name, the address for each way to speak to it, and the process whose work is counted."""

    def __init__(self, name, addresses, pid, stop):
        self.name, self.addresses, self.pid, self.stop = name, addresses, pid, stop
        self.address = addresses["plain"]

    def cpu_s(self):
        return cpu_s(self.pid)

    def memory_bytes(self):
        """All memory that it is the cause of."""
        return sum(self.memory_parts())

    def memory_parts(self):
        """Bytes of its pages, those that it shares with others counted in parts; and of its files in memory, whether or not it has
        their pages in its tables: what is written to such a file and sent from it never gets there."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        mapped = sum(int(amount) << 10 for amount in re.findall(r"^Pss_(?:Anon|File): +(\d+) kB", text, re.MULTILINE))
        files = {}
        for link in glob.glob(f"/proc/{self.pid}/fd/*"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(link).startswith("/memfd:"):
                    status = os.stat(link)
                    files[status.st_ino] = status.st_blocks * 512
        return mapped, sum(files.values())


class Headwater(Server):
    """The origin itself."""

    def __init__(self, origin):
        run = bound_addresses(origin.data / "run.json")
        plain, tls = run["listen"], run["tls"]
        super().__init__("Headwater", {"plain": plain, "tls": tls, "h2c": plain, "h2": tls}, origin.server.pid, origin.stop)
        self.origin = origin

    def pin(self):
        """On its core, threads that are there; those to come follow the one that makes them."""
        subprocess.run(["taskset", "-a", "-p", "-c", str(SERVER_CORE), str(self.pid)], check=True, capture_output=True)

    def metrics(self):
        """Every metric by its name with its labels."""
        with urllib.request.urlopen(self.origin.admin_url + "/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def wait_until_quiet(self):
        """Until workers have nothing to do any more."""
        spent = -1
        while True:
            now = sum(cpu_s(pid) for pid in children(self.pid))
            if now - spent < 0.01:
                return
            spent = now
            time.sleep(1)


def wait_until_served(address, path):
    for _ in range(200):
        try:
            return urllib.request.urlopen(f"http://{address}{path}", timeout=5).read()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{address} does not serve {path}")


def ended(process):
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


def certify(home):
    """A certificate for localhost, and its key."""
    certificate, key = home / "cert.pem", home / "key.pem"
    if not certificate.exists():
        extensions = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost"]
        command = ["openssl", "req", "-x509", *kind, *extensions, "-keyout", key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def nginx(home, root, path, name="nginx"):
    folder, ports = home / name, {way: free_port() for way in WAYS}
    folder.mkdir(exist_ok=True)
    certificate, key = certify(home)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    (folder / "nginx.conf").write_text(NGINX.format(home=folder, root=root, certificate=certificate, key=key, files=files, **ports))
    process = subprocess.Popen(pinned("nginx", "-c", folder / "nginx.conf"), stderr=subprocess.DEVNULL)
    wait_until_served(f"127.0.0.1:{ports['plain']}", path)
    return Server(name, {way: f"127.0.0.1:{port}" for way, port in ports.items()}, children(process.pid)[0], lambda: ended(process))


def varnish(home, backend, path):
    """It keeps a playlist in both forms, as it gets them, rather than to undo gzip for each answer."""
    folder, port = home / "varnish", free_port()
    folder.mkdir(exist_ok=True)
    command = ["varnishd", "-F", "-n", folder, "-a", f"127.0.0.1:{port}", "-b", backend, "-s", "malloc,1g", "-p", "thread_pools=1", "-p", "http_gzip_support=off"]
    process = subprocess.Popen(pinned(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until_served(f"127.0.0.1:{port}", path)
    return Server("Varnish", {"plain": f"127.0.0.1:{port}"}, children(process.pid)[0], lambda: ended(process))


def headwater(home, environment=None):
    """The origin over the folder `home`/data; not pinned."""
    certificate, key = certify(home)
    settings = {
        "HEADWATER_SERVER__THREADS": "1",
        "HEADWATER_CACHE__BYTES": "1GiB",
        "HEADWATER_TLS__LISTEN": "127.0.0.1:0",
        "HEADWATER_TLS__CERTIFICATE": str(certificate),
        "HEADWATER_TLS__KEY": str(key),
        "HEADWATER_LOG__FILTER": "error",
        **(environment or {}),
    }
    origin = Origin(home / "data", environment=settings)
    origin.data = home / "data"
    return Headwater(origin)
