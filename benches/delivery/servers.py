"""The servers that the bench compares, on the same files, each pinned to one core."""
import glob, os, signal, subprocess, sys, time, urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".ci"))
from origin import ROOT, Origin  # noqa: E402, F401

SERVER_CORE, CLIENT_CORE = 0, 1

NGINX = """
worker_processes 1; daemon off; pid {home}/nginx.pid; error_log {home}/nginx.err; worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; gzip_static on;
  open_file_cache max=10000 inactive=1h; open_file_cache_valid 1h;
  client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s mp4; }}
  server {{ listen 127.0.0.1:{port} reuseport backlog=4096; root {root}; add_header Cache-Control "public, max-age=31536000, immutable"; }}
}}
"""


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pinned(*command):
    return ["taskset", "-c", str(SERVER_CORE), *command]


def children(pid):
    return [int(word) for path in glob.glob(f"/proc/{pid}/task/*/children") for word in Path(path).read_text().split()]


class Server:
    """A running server: its name, its address, and the process whose work is counted."""

    def __init__(self, name, address, pid, stop):
        self.name, self.address, self.pid, self.stop = name, address, pid, stop

    def cpu_s(self):
        """Seconds that all its threads have run, as the scheduler counts them."""
        return sum(int(Path(path).read_text().split()[0]) for path in glob.glob(f"/proc/{self.pid}/task/*/schedstat")) / 1e9

    def memory_bytes(self):
        """Its share of memory, what is shared with others counted in parts."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


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


def nginx(home, root, path, name="nginx"):
    folder, port = Path(home) / name, free_port()
    folder.mkdir()
    (folder / "nginx.conf").write_text(NGINX.format(home=folder, port=port, root=root))
    process = subprocess.Popen(pinned("nginx", "-c", str(folder / "nginx.conf")), stderr=subprocess.DEVNULL)
    wait_until_served(f"127.0.0.1:{port}", path)
    return Server(name, f"127.0.0.1:{port}", children(process.pid)[0], lambda: ended(process))


def varnish(home, backend, path):
    folder, port = Path(home) / "varnish", free_port()
    folder.mkdir()
    command = ["varnishd", "-F", "-n", str(folder), "-a", f"127.0.0.1:{port}", "-b", backend, "-s", "malloc,1g", "-p", "thread_pools=1"]
    process = subprocess.Popen(pinned(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until_served(f"127.0.0.1:{port}", path)
    return Server("Varnish", f"127.0.0.1:{port}", children(process.pid)[0], lambda: ended(process))


def headwater(home, environment=None):
    """The origin itself; not pinned before its title is made."""
    settings = {"HEADWATER_SERVER__THREADS": "1", "HEADWATER_CACHE__BYTES": "1GiB", **(environment or {})}
    origin = Origin(Path(home), environment=settings)
    pid = origin.server.pid
    server = Server("Headwater", origin.public_address, pid, origin.stop)
    server.origin = origin
    server.pin = lambda: subprocess.run(["taskset", "-a", "-p", "-c", str(SERVER_CORE), str(pid)], check=True, capture_output=True)
    return server
