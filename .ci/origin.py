"""An origin of one's own: the built server as a child process, and its API."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_S = 30
STOP_S = 45


class Failed(Exception):
    """It cannot go on; the message says why."""


def program():
    """The server's program: HEADWATER names it, else the release build of this checkout."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return Path(os.environ.get("HEADWATER") or ROOT / folder / "release/headwater")


class Origin:
    """A server that listens at the two addresses and keeps what it has in the folder `data`."""

    def __init__(self, data, listen="127.0.0.1:0", admin="127.0.0.1:0", environment=None):
        self.program = program()
        run = data / "run.json"
        # What an earlier server left would be mistaken for this one's.
        run.unlink(missing_ok=True)
        command = [self.program, "serve", "--data", data, "--listen", listen, "--admin", admin]
        # A session of its own: Ctrl-C reaches the caller, and the caller stops the server.
        self.server = subprocess.Popen(command, start_new_session=True, env={**os.environ, **(environment or {})})
        try:
            bound = self.wait_for("listening", START_S, lambda: bound_addresses(run))
        except BaseException:
            self.stop()
            raise
        self.admin_url = f"http://{reachable(bound['admin'])}"
        self.public_address = reachable(bound["listen"])

    def get(self, path):
        """What the API answers, read as JSON."""
        with urllib.request.urlopen(self.admin_url + path, timeout=30) as response:
            return json.load(response)

    def wait_for(self, what, seconds, look, pause_s=0.1):
        """Looks until there is something to see, the server ends, or time is up."""
        end = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            if self.server.poll() is not None:
                raise Failed(f"the server ended with {self.server.returncode} before {what}")
            if time.monotonic() > end:
                raise Failed(f"not {what} after {seconds} s")
            time.sleep(pause_s)

    def stop(self):
        """Ends the server as an operator would."""
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
                raise Failed(f"the server did not stop within {STOP_S} s") from None


def reachable(address):
    """An address to ask, for an address that is listened on."""
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def bound_addresses(run):
    """What the server wrote about itself, once it did."""
    try:
        return json.loads(run.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
