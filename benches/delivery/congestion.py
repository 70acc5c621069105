"""Which congestion control the servers use."""
import contextlib
from pathlib import Path

SYSTEMS = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def told(name):
    """What a table's reader has to know: one that paces decides what large answers cost."""
    if name:
        return f"Congestion control: {name}, for every server."
    return f"Congestion control: the system's, {SYSTEMS.read_text().strip()}; Headwater on an address of the machine itself: reno."


@contextlib.contextmanager
def everywhere(name):
    """The system's is `name` for a while, which needs root. Nothing changes without a name."""
    before = SYSTEMS.read_text()
    if name:
        SYSTEMS.write_text(name)
    try:
        yield
    finally:
        if name:
            SYSTEMS.write_text(before)
