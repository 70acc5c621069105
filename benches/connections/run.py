#!/usr/bin/env python3
"""What a connection costs: memory of the server for each that idles, and for each that has sent half a head.

    benches/connections/run.py target/release/headwater target/debug/headwater-worker [count]

Starts the server on a directory of its own, with one thread for connections and then with two, opens connections from this
process, and prints the growth of the server's resident memory divided by their number. A last part asks for a million paths
that name nothing and prints how far that moves it.
"""

import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024


class Server:
    def __init__(self, program, worker, threads):
        self.folder = tempfile.TemporaryDirectory()
        variables = {
            "HEADWATER_SERVER__LISTEN": "127.0.0.1:0",
            "HEADWATER_ADMIN__LISTEN": "127.0.0.1:0",
            "HEADWATER_DATA__DIR": self.folder.name,
            "HEADWATER_DATA__FREE_MIN": "0B",
            "HEADWATER_WORKER__PATH": os.path.abspath(worker),
            "HEADWATER_SERVER__THREADS": str(threads),
            "HEADWATER_SERVER__CONNECTIONS_MAX": "100000",
            "HEADWATER_SERVER__ADDRESS_CONNECTIONS_MAX": "0",
            "HEADWATER_SERVER__HEADER_TIMEOUT": "10m",
            "HEADWATER_SERVER__IDLE_TIMEOUT": "10m",
        }
        self.process = subprocess.Popen([program, "serve"], env={**os.environ, **variables}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        file = os.path.join(self.folder.name, "run.json")
        while not os.path.exists(file):
            time.sleep(0.05)
            assert self.process.poll() is None, "the server has ended"
        with open(file) as text:
            host, port = re.search(r'"listen":\s*"([^"]+)"', text.read()).group(1).rsplit(":", 1)
        self.address = (host, int(port))

    def memory(self):
        time.sleep(1)
        return resident(self.process.pid)

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


GET = b"GET /t/nothing/main.m3u8 HTTP/1.1\r\nHost: media.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n" \
    b"Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: https://example.com/watch\r\n\r\n"


def answered(stream):
    text = b""
    while b"There is nothing here.\n" not in text:
        piece = stream.recv(4096)
        assert piece, text
        text += piece


def connections(server, count, send, wait):
    before, open_streams = server.memory(), []
    for _ in range(count):
        stream = socket.create_connection(server.address)
        stream.sendall(send)
        if wait:
            answered(stream)
        open_streams.append(stream)
    each = (server.memory() - before) / count
    for stream in open_streams:
        stream.close()
    return each


def main():
    program, worker = sys.argv[1], sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for threads in (1, 2):
        server = Server(program, worker, threads)
        try:
            connections(server, 100, GET, True)
            print(f"{threads} threads: idle after one request: {connections(server, count, GET, True):8.0f} bytes each", flush=True)
        finally:
            server.end()
        server = Server(program, worker, threads)
        try:
            connections(server, 100, GET, True)
            print(f"{threads} threads: half a head:            {connections(server, count, GET[:100], False):8.0f} bytes each", flush=True)
        finally:
            server.end()


main()
