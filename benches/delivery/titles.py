"""Titles to serve: clips made with ffmpeg, uploaded, and all that the origin serves of them written to a folder as well.

The clips are noise of a constant rate with a key frame at every cut, so that the largest rendition is copied and its segments are of
one size. `film` has smaller renditions too. The others have few pixels and a ladder of one rung that lets them through, so that making
them takes little.
"""
import json, re, subprocess, sys, urllib.parse, urllib.request
from dataclasses import dataclass
from pathlib import Path

from servers import headwater

READY_S = 1800
LADDER = """
high_rate_percent = 100
[[rung]]
name = "180p"
short_side = 180
crf_tenths = 230
maxrate_kbps = 20000
bufsize_kbit = 40000
"""


@dataclass(frozen=True)
class Clip:
    size: str
    rate_kbps: int
    segment_s: int
    seconds: int
    """Of which only the first minute is encoded, and then repeated."""


CLIPS = {
    # Segments of 1 MB, and of 200 kB in one of the smaller sizes.
    "film": Clip("1280x720", 2090, 4, 60),
    # 600 segments of 300 kB.
    "long": Clip("320x180", 2400, 1, 600),
    # 15 segments of 4 MB.
    "fat": Clip("320x180", 8000, 4, 60),
}


def make(clip, path):
    once = path.with_suffix(".once.mp4")
    frames = 25 * clip.segment_s
    source = f"testsrc2=s={clip.size}:r=25:d={min(clip.seconds, 60)},noise=alls=30:allf=t"
    rate = f"{clip.rate_kbps}k"
    rates = ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-x264-params", "nal-hrd=cbr:force-cfr=1"]
    keys = ["-g", frames, "-keyint_min", frames, "-sc_threshold", "0", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    ffmpeg = ["ffmpeg", "-v", "error", "-y"]
    subprocess.run(list(map(str, [*ffmpeg, "-f", "lavfi", "-i", source, "-c:v", "libx264", *rates, *keys, once])), check=True)
    again = ["-stream_loop", str(clip.seconds // 60 - 1), "-i", str(once), "-c", "copy", str(path)]
    subprocess.run([*ffmpeg, *again], check=True)
    once.unlink()


class Title:
    """What is served of a title: the length of each path."""

    def __init__(self, title_id, sizes):
        self.id, self.sizes = title_id, sizes

    def nearest(self, suffix, size, count):
        """The paths whose lengths are nearest to that."""
        return sorted((path for path in self.sizes if path.endswith(suffix)), key=lambda path: abs(self.sizes[path] - size))[:count]

    def segments(self, track="v0"):
        """The segments of a track in order."""
        numbered = {int(match[1]): path for path in self.sizes if (match := re.search(rf"/{track}/(\d+)\.m4s$", path))}
        return [numbered[number] for number in sorted(numbered)]


class Shelf:
    """The titles that are there. Makes what is asked for first."""

    def __init__(self, home, film=None):
        self.home, self.www, self.film, self.titles = home, home / "www", film, {}
        self.www.mkdir()

    def title(self, name):
        if name not in self.titles:
            print(f"making '{name}'", file=sys.stderr)
            body = Path(self.film) if name == "film" and self.film else self.home / f"{name}.mp4"
            if not body.exists():
                make(CLIPS[name], body)
            settings = {"HEADWATER_VIDEO__SEGMENT_LENGTH": f"{CLIPS[name].segment_s}s"}
            if name != "film":
                (self.home / "ladder.toml").write_text(LADDER)
                settings["HEADWATER_LADDER__FILE"] = str(self.home / "ladder.toml")
            server = headwater(self.home, settings)
            try:
                self.titles[name] = self.take(server, body)
                server.wait_until_quiet()
            finally:
                server.stop()
        return self.titles[name]

    def take(self, server, body):
        url = server.origin.admin_url + "/api/v1/titles?name=bench"
        sent = ["curl", "-sS", "--fail", "-X", "POST", "-T", body, "-H", "Content-Type: application/octet-stream", url]
        title_id = json.loads(subprocess.run(sent, check=True, capture_output=True).stdout)["id"]

        def ready():
            title = server.origin.get(f"/api/v1/titles/{title_id}")
            if title["state"] == "failed":
                sys.exit(f"title: {title['problem']}")
            return title if title["state"] == "ready" else None
        title = server.origin.wait_for("ready", READY_S, ready)
        sizes = {}
        self.mirror(server.address, urllib.parse.urlsplit(title["playback"]["hls"]).path, sizes)
        return Title(title_id, sizes)

    def mirror(self, address, path, sizes):
        """Writes what is at `path`, and all that a playlist there names, to the folder that the others serve."""
        with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as response:
            data = response.read()
        sizes[path] = len(data)
        file = self.www / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        if path.endswith(".m3u8"):
            subprocess.run(["gzip", "-9", "-k", "-n", "-f", file], check=True)
            for link in re.findall(r'^[^#\s].*$|(?<=URI=")[^"]+', data.decode(), re.MULTILINE):
                linked = urllib.parse.urljoin(path, link)
                if linked not in sizes:
                    self.mirror(address, linked, sizes)

    def sizes(self):
        """Paths of `film` of each size that cases ask for."""
        film = self.title("film")
        chosen = {
            "large": film.nearest(".m4s", 1 << 20, 8),
            "medium": film.nearest(".m4s", 200_000, 8),
            "playlist": film.nearest(".m3u8", 1500, 1),
        }
        for name, paths in chosen.items():
            print(f"{name}: {', '.join(str(film.sizes[path]) for path in paths)} bytes", file=sys.stderr)
        return chosen
