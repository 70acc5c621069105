#!/usr/bin/env python3
"""Walks a title over HTTP as a player does, and holds every answer against what the origin promises.

    .ci/playback.py URL      URL of the multivariant playlist

Multivariant playlist, every media playlist, every init and media segment: 200, type, length, strong ETag, open to other
origins. Of one segment a range and a revalidation. Segments still being made (503 with Retry-After) are asked again.
"""

import re
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urljoin

PLAYLIST = "application/vnd.apple.mpegurl"
DEADLINE_S = 180


class Fault(Exception):
    """An answer that is not as promised."""


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body


def ask(url, end, headers=None):
    """Asks until the answer is other than 'not made yet'; other statuses than 2xx are answers too."""
    request = urllib.request.Request(url, headers={"Origin": "http://player.example", **(headers or {})})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response, response.read())
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After")
            if error.code != 503 or wait is None or time.monotonic() + int(wait) > end:
                return Answer(error, error.read())
            time.sleep(int(wait))
        except OSError as error:
            raise Fault(f"{url}: {error}") from None


def expect(url, what, found, wanted):
    if found != wanted:
        raise Fault(f"{url}: {what} is {found!r}, expected {wanted!r}")


def get(url, kind, end):
    """A whole object that is as it should be."""
    answer = ask(url, end)
    expect(url, "the status", answer.status, 200)
    expect(url, "the type", answer.headers.get_content_type(), kind)
    expect(url, "the length", answer.headers["Content-Length"], str(len(answer.body)))
    expect(url, "Access-Control-Allow-Origin", answer.headers["Access-Control-Allow-Origin"], "*")
    expect(url, "Accept-Ranges", answer.headers["Accept-Ranges"], "bytes")
    if not re.fullmatch(r'"[^"]+"', answer.headers["ETag"] or ""):
        raise Fault(f"{url}: the ETag is {answer.headers['ETag']!r}, expected a strong one")
    if not answer.body:
        raise Fault(f"{url}: the body is empty")
    return answer


def playlist(url, end):
    text = get(url, PLAYLIST, end).body.decode()
    if not text.startswith("#EXTM3U\n"):
        raise Fault(f"{url}: not a playlist")
    return text.splitlines()


def attribute(line, name):
    found = re.search(rf'[:,]{name}="([^"]*)"', line)
    return found and found.group(1)


def media_playlists(url, lines):
    """URL and type of the segments of every media playlist."""
    found = {}
    for line, after in zip(lines, lines[1:] + [""]):
        if line.startswith("#EXT-X-STREAM-INF:"):
            pictures = "RESOLUTION=" in line
            found.setdefault(urljoin(url, after), "video/mp4" if pictures else "audio/mp4")
        elif line.startswith("#EXT-X-MEDIA:TYPE=AUDIO") and attribute(line, "URI"):
            found[urljoin(url, attribute(line, "URI"))] = "audio/mp4"
    if not found:
        raise Fault(f"{url}: no variants")
    return found


def parts(url, whole, end):
    """Of this object a range is served, and whoever has it need not load it again."""
    size = len(whole.body)
    answer = ask(url, end, {"Range": "bytes=100-299"})
    expect(url, "the status of a range", answer.status, 206)
    expect(url, "Content-Range", answer.headers["Content-Range"], f"bytes 100-299/{size}")
    expect(url, "the range", answer.body, whole.body[100:300])
    expect(url, "the ETag of a range", answer.headers["ETag"], whole.headers["ETag"])
    answer = ask(url, end, {"If-None-Match": whole.headers["ETag"]})
    expect(url, "the status of a revalidation", answer.status, 304)
    answer = ask(url, end, {"Range": f"bytes={size}-"})
    expect(url, "the status of a range behind the end", answer.status, 416)


def verify(url):
    """Gives a line of what was verified.

    Raises Fault at the first answer that is not as promised.
    """
    end = time.monotonic() + DEADLINE_S
    inits = segments = size = 0
    tracks = media_playlists(url, playlist(url, end))
    for track, kind in tracks.items():
        lines = playlist(track, end)
        expect(track, "the last line", lines[-1], "#EXT-X-ENDLIST")
        maps = [attribute(line, "URI") for line in lines if line.startswith("#EXT-X-MAP:")]
        names = [line for line in lines if line and not line.startswith("#")]
        expect(track, "the count of durations", sum(line.startswith("#EXTINF:") for line in lines), len(names))
        if not maps or not names:
            raise Fault(f"{track}: no init segment or no segments")
        for name in maps + names:
            answer = get(urljoin(track, name), kind, end)
            size += len(answer.body)
        parts(urljoin(track, names[0]), get(urljoin(track, names[0]), kind, end), end)
        inits, segments = inits + len(maps), segments + len(names)
    return f"verified: {len(tracks)} media playlists, {inits} init segments, {segments} segments, {size / 1e6:.1f} MB, ranges, revalidation"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: .ci/playback.py URL")
    try:
        print(verify(sys.argv[1]))
    except Fault as fault:
        sys.exit(f"playback: {fault}")
