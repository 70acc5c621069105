#!/usr/bin/env python3
"""Uploads every file of a folder to an origin of its own and writes down what became of each.

    make corpus MEDIA=FOLDER [CHECK="PROGRAM ARGUMENTS"] [OUT=FILE] [ONLY=PART]

FOLDER has a MANIFEST.tsv whose columns `file` and `expect` say what there is and what must become of it: `ok` a title with
pictures, `ok-audio` one of sound alone, `reject` a refusal within ten seconds that leaves nothing behind, `either` one of them.
CHECK, where it is given, gets the URL of each playable title and must end with 0; its last line goes into the table.
The table is written to OUT (benches/corpus.md). Ends with 1 when a file did not become what it must.
"""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from origin import ROOT, Failed, Origin

END_S = 900
REFUSAL_S = 10
# A failed title is told before its objects are removed.
REMOVAL_S = 5


def upload(origin, path):
    """Sends the file as it is and gives the title it became; an empty or refused body is told by a problem."""
    name = urllib.parse.quote(path.name)
    request = urllib.request.Request(f"{origin.admin_url}/api/v1/titles?name={name}", data=path.read_bytes(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return {"id": None, "state": "failed", "problem": json.load(error), "renditions": [], "report": []}


def ended(origin, title):
    """The title once nothing more will happen to it."""

    def look():
        now = origin.get(f"/api/v1/titles/{title['id']}")
        return now if now["state"] in ("ready", "failed") else None

    return title if title["state"] == "failed" else origin.wait_for(f"{title['name']} at its end", END_S, look, 0.05)


def left_behind(data, title):
    """Files that a title still has on disk when there was time to remove them."""
    store = data / "store"
    if not store.is_dir():
        raise Failed(f"{store} is where titles are kept, and it is not there")
    folder = store / "titles" / str(title["id"])
    end = time.monotonic() + REMOVAL_S
    while True:
        left = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


def judge(row, title, seconds, data, check):
    """What is wrong with what became of a file, as sentences, and the check's last line."""
    faults, verdict = [], ""
    expect, state = row["expect"], title["state"]
    if state == "ready":
        if expect == "reject":
            faults.append("it became a title")
        if expect == "ok" and not title["renditions"]:
            faults.append("it has no pictures")
        if expect == "ok-audio" and title["renditions"]:
            faults.append("it has pictures")
        if check:
            done = subprocess.run([*check, title["playback"]["hls"]], capture_output=True, text=True, check=False)
            verdict = (done.stdout.strip().splitlines() or ["(no output)"])[-1]
            if done.returncode != 0:
                faults.append("the check failed: " + "; ".join(done.stdout.strip().splitlines()[:3]))
    else:
        if expect in ("ok", "ok-audio"):
            faults.append(f"it failed: {title['problem']}")
        if expect == "reject" and seconds > REFUSAL_S:
            faults.append(f"it was refused only after {seconds:.1f} s")
        if left := left_behind(data, title):
            faults.append(f"{len(left)} files are left of it")
    return faults, verdict


def cells(row, title, seconds, verdict):
    """A row of the table."""
    made = [f"{r['name']} {r['method']}" for r in title["renditions"]]
    sounds = [f"{r['name']} {r['channels']}ch {r['method']}" for r in title.get("audio_renditions", [])]
    texts = [f"{t['language'] or t['name']}" for t in title.get("subtitles", [])]
    outcome = title["state"] if title["state"] == "ready" else title["problem"]["code"]
    codes = sorted({remark["code"] for remark in title["report"]})
    name = row["file"].replace("|", "\\|")
    return [f"`{name}`", row["expect"], outcome, f"{seconds:.1f}", ", ".join(made), ", ".join(sounds), ", ".join(texts), ", ".join(codes), verdict]


def run(folder, check, only):
    rows = [row for row in csv.DictReader((folder / "MANIFEST.tsv").open(), delimiter="\t", quoting=csv.QUOTE_NONE) if only in row["file"]]
    data = Path(tempfile.mkdtemp(prefix="headwater-corpus-"))
    table, faults = [], []
    origin = Origin(data, environment={"HEADWATER_LOG__FILTER": "error"})
    try:
        for row in rows:
            begun = time.monotonic()
            title = ended(origin, upload(origin, folder / row["file"]))
            seconds = time.monotonic() - begun
            wrong, verdict = judge(row, title, seconds, data, check)
            faults += [f"{row['file']}: {fault}" for fault in wrong]
            table.append(cells(row, title, seconds, verdict))
            print(" ".join(table[-1][:4]), *(f"\n    FAULT {fault}" for fault in wrong), flush=True)
    finally:
        origin.stop()
    proof = subprocess.run([origin.program, "check", "--data", data], capture_output=True, text=True, check=False)
    if proof.returncode != 0:
        faults.append(f"headwater check: {proof.stdout}{proof.stderr}")
    shutil.rmtree(data, ignore_errors=True)
    return table, faults


def main():
    folder = Path(os.environ.get("MEDIA") or sys.exit("corpus: MEDIA names the folder of uploads"))
    out = Path(os.environ.get("OUT") or ROOT / "benches/corpus.md")
    check = shlex.split(os.environ.get("CHECK") or "")
    try:
        table, faults = run(folder, check, os.environ.get("ONLY") or "")
    except Failed as error:
        sys.exit(f"corpus: {error}")
    head = ["file", "expected", "outcome", "seconds", "pictures", "sound", "text", "report", "check"]
    lines = ["# What became of each upload", "", f"Written by `make corpus`: {len(table)} files, {len(faults)} faults.", ""]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in table]
    lines += ["", *(f"- FAULT {fault}" for fault in faults)] if faults else []
    out.write_text("\n".join(lines) + "\n")
    print(f"{len(table)} files, {len(faults)} faults; the table is in {out}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
