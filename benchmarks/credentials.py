"""What signing a video costs, and which changed bytes are noticed.

    python benchmarks/credentials.py [--short] [-o benchmarks/credentials.md]

A clip of about 5 MB is signed, with and without a signed parent of the same size, by a development certificate. Then
single bytes of a small signed clip are changed, one at a time, and it is read again.
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from _machine import Report, parser

from worldpatch.safety import certificates, credentials
from worldpatch.safety.credentials import Claim, Ingredient
from worldpatch.video import write

TIMES, APART = 9, 11  # signatures of each kind, and bytes between two that are changed


def claim(*parts: Ingredient) -> Claim:
    return Claim(title="clip.mp4", id="video", model="tabletop", version="0", ability="extend", ingredients=parts)


def noise(path: Path, frames: int, height: int, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), np.uint8)
    write.write(path, pixels, 24.0)


def cost(report: Report, folder: Path, signer: certificates.Signer, times: int) -> None:
    source, parent, child = (folder / f"{name}.mp4" for name in ("source", "parent", "child"))
    noise(source, 8 if report.short else 104, 240, 320)
    rows = []
    for name, path, parts in (("alone", parent, ()), ("with a signed parent", child, (Ingredient(path=parent),))):
        spent, read = [], []
        for _ in range(times):
            shutil.copy(source, path)
            begun = time.process_time()
            credentials.sign(path, claim(*parts), signer)
            spent.append(time.process_time() - begun)
            begun = time.process_time()
            credentials.read(path, signer.anchors)
            read.append(time.process_time() - begun)
        seconds = (f"{statistics.median(some):.3f}" for some in (spent, read))
        rows.append((name, f"{source.stat().st_size / 1e6:.2f}", *seconds, path.stat().st_size - source.stat().st_size))
    report.table(("clip", "MB", "sign, processor s", "read", "bytes added"), rows)


def changes(report: Report, folder: Path, signer: certificates.Signer, apart: int) -> None:
    path = folder / "small.mp4"
    noise(path, 4, 48, 64)
    credentials.sign(path, claim(), signer)
    whole, tried, quiet = path.read_bytes(), 0, []
    for at in range(0, len(whole), apart):
        changed = bytearray(whole)
        changed[at] ^= 0x55
        path.write_bytes(changed)
        found = credentials.read(path, signer.anchors)
        tried += 1
        if found is not None and found.state != "invalid":
            quiet.append(at)
    boxes, at = [], 0
    while at < len(whole):
        length, kind = int.from_bytes(whole[at : at + 4], "big"), whole[at + 4 : at + 8].decode("latin-1")
        inside = range(at, at + length)
        boxes.append((kind, length, len(range(-at % apart, length, apart)), sum(one in inside for one in quiet)))
        at += length
    report.say(f"\n{tried} bytes of {len(whole)} changed, one at a time; {len(quiet)} not noticed:")
    report.table(("box", "bytes", "changed", "not noticed"), boxes)


def main() -> None:
    report = Report("Content credentials", given := parser(__doc__).parse_args())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signer = certificates.development(folder / "signer")
        cost(report, folder, signer, 2 if given.short else TIMES)
        changes(report, folder, signer, 500 if given.short else APART)
    report.finish()


if __name__ == "__main__":
    main()
