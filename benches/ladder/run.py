#!/usr/bin/env python3
"""One ladder, two ways: `headwater transcode` against one ffmpeg process, on the same machine in the same run.

  benches/ladder/run.py SOURCE [--rounds N] [--seconds S] [--vmaf FFMPEG] [--cores 1|2]

SOURCE is cut to its first S seconds (60) without re-encoding. Both sides make the same rungs (720, 540, 360, 240; x264
veryfast, CRF 23, the same maxrate and bufsize, a key frame every 4 s, AAC stereo at 128 kb/s, 48 kHz) into fragmented MP4
for HLS. Rounds alternate which side goes first. CPU is user and system time of all processes; memory is the largest
resident set of any process of that side. With --vmaf and an ffmpeg that has libvmaf, quality is compared at equal bits:
Headwater encodes at neighbouring CRFs too, and its size is read off where its VMAF equals the peer's.
Prints a table of medians and ratios (ours over peer's) in Markdown.
"""
import argparse, glob, math, os, re, resource, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
HEADWATER = os.path.join(HERE, "..", "..", os.environ.get("CARGO_TARGET_DIR", "target"), "release", "headwater")
LADDER = os.path.join(HERE, "..", "..", "config", "ladders", "default.toml")
RUNGS = [("720p", 1280, 720, 3000, 4500), ("540p", 960, 540, 1800, 2700), ("360p", 640, 360, 900, 1350), ("240p", 426, 240, 450, 675)]

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("source"); a.add_argument("--rounds", type=int, default=3); a.add_argument("--seconds", type=int, default=60)
a.add_argument("--vmaf", metavar="FFMPEG"); a.add_argument("--cores", type=int, default=os.cpu_count())
A = a.parse_args()


def run(command, env=None):
    """Wall seconds, CPU seconds and peak MiB of a command and everything it starts; both sides run on the same cores."""
    script = ("import resource,subprocess,sys,time;t=time.monotonic();subprocess.run(sys.argv[1:],check=True,stdin=subprocess.DEVNULL,"
              "stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL);w=time.monotonic()-t;u=resource.getrusage(resource.RUSAGE_CHILDREN);"
              "print(w,u.ru_utime+u.ru_stime,u.ru_maxrss/1024)")
    pinned = ["taskset", "-c", f"0-{A.cores - 1}", sys.executable, "-c", script]
    out = subprocess.run(pinned + command, check=True, capture_output=True, text=True, env=env).stdout
    return [float(x) for x in out.split()]


def ours(clip, out, crf_tenths=230):
    shutil.rmtree(out, ignore_errors=True)
    ladder = out + ".toml"
    with open(LADDER) as f, open(ladder, "w") as g:
        g.write(re.sub(r"crf_tenths = \d+", f"crf_tenths = {crf_tenths}", f.read()))
    # Both sides encode every rung, and the sound.
    copies = {"HEADWATER_VIDEO__COPY": "false", "HEADWATER_AUDIO__COPY": "false"}
    policy = {"HEADWATER_LADDER__FILE": ladder, "HEADWATER_VIDEO__PRESET": "veryfast", "HEADWATER_WORKER__COUNT": str(A.cores)}
    env = {**os.environ, **policy, **copies}
    return run([HEADWATER, "transcode", clip, "--out", out], env)


def peer(clip, out):
    shutil.rmtree(out, ignore_errors=True)
    os.mkdir(out)
    scaled = "".join(f"[s{i}]scale={w}:{h}[v{i}];" for i, (_, w, h, _, _) in enumerate(RUNGS) if i)
    graph = "[0:v]split=4[v0]" + "".join(f"[s{i}]" for i in range(1, 4)) + ";" + scaled.rstrip(";")
    command = ["ffmpeg", "-y", "-i", clip, "-filter_complex", graph]
    for i in range(4): command += ["-map", f"[v{i}]"]
    command += ["-map", "0:a", "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-crf", "23", "-g", "96",
                "-force_key_frames", "expr:gte(t,n_forced*4)"]
    for i, (_, _, _, maxrate, bufsize) in enumerate(RUNGS): command += [f"-maxrate:v:{i}", f"{maxrate}k", f"-bufsize:v:{i}", f"{bufsize}k"]
    command += ["-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2", "-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod",
                "-hls_segment_type", "fmp4", "-master_pl_name", "main.m3u8", "-hls_segment_filename", f"{out}/%v/%d.m4s",
                "-var_stream_map", "v:0,agroup:a v:1,agroup:a v:2,agroup:a v:3,agroup:a a:0,agroup:a", f"{out}/%v/index.m3u8"]
    return run(command)


def size(pattern): return sum(os.path.getsize(f) for f in glob.glob(pattern))


def vmaf(playlist, clip):
    """VMAF of a rendition against the source, at the source's size."""
    graph = ("[0:v]scale=1280:720:flags=bicubic,setpts=N/24/TB,settb=1/24[d];[1:v]setpts=N/24/TB,settb=1/24[r];"
             "[d][r]libvmaf=n_threads=2:n_subsample=5")
    said = subprocess.run([A.vmaf, "-v", "info", "-i", playlist, "-i", clip, "-lavfi", graph, "-f", "null", "-"], capture_output=True, text=True).stderr
    return float(re.search(r"VMAF score: ([\d.]+)", said)[1])


def at_equal_vmaf(points, score):
    """Bytes at `score` on the line through the two points (VMAF, bytes) nearest to it, bytes on a logarithmic scale."""
    (v1, b1), (v2, b2) = sorted(sorted(points, key=lambda p: abs(p[0] - score))[:2])
    return math.exp(math.log(b1) + (score - v1) / (v2 - v1) * (math.log(b2) - math.log(b1)))


with tempfile.TemporaryDirectory() as work:
    clip, mine, theirs = f"{work}/clip.mp4", f"{work}/ours", f"{work}/peer"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", A.source, "-t", str(A.seconds), "-c", "copy", clip], check=True)
    rows = []
    for n in range(A.rounds):
        order = [(ours, mine), (peer, theirs)]
        got = {side: side(clip, out) for side, out in (order if n % 2 == 0 else order[::-1])}
        rows.append(got[ours] + got[peer])
        print(f"round {n + 1}: ours {got[ours]} peer {got[peer]}", file=sys.stderr)
    median = [statistics.median(column) for column in zip(*rows)]
    ratio = lambda i: statistics.median(row[i] / row[i + 3] for row in rows)
    print(f"| {A.cores} core(s), {A.rounds} rounds | headwater | ffmpeg | ratio |\n|---|---|---|---|")
    for name, i in (("wall s", 0), ("CPU s", 1), ("peak MiB of a process", 2)):
        print(f"| {name} | {median[i]:.1f} | {median[i + 3]:.1f} | {ratio(i):.3f} |")
    if A.vmaf:
        crfs = [215, 222, 230]
        for crf in crfs[:-1]: ours(clip, f"{work}/crf{crf}", crf)
        os.rename(mine, f"{work}/crf230") if not os.path.exists(f"{work}/crf230") else None
        print("\n| rung | bytes, ours/peer at CRF 23 | VMAF ours | VMAF peer | bytes, ours/peer at equal VMAF |\n|---|---|---|---|---|")
        for i, (name, *_) in enumerate(RUNGS):
            points = [(vmaf(f"{work}/crf{c}/1/v{i}/index.m3u8", clip), size(f"{work}/crf{c}/1/v{i}/*.m4s")) for c in crfs]
            peers = (vmaf(f"{theirs}/{i}/index.m3u8", clip), size(f"{theirs}/{i}/*.m4s"))
            print(f"| {name} | {points[-1][1] / peers[1]:.3f} | {points[-1][0]:.2f} | {peers[0]:.2f} | {at_equal_vmaf(points, peers[0]) / peers[1]:.3f} |")
