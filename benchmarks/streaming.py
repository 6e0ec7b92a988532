"""Does memory grow with the length of a video? Latents from a stream, decoded into a file, 60 s against 4 s.

    python benchmarks/streaming.py [--short] [-o result.md]

Bar: the peak resident set of the long one lies within 10% of the short one's. Each is decoded by the autoencoder as it
is shipped (random weights: memory does not depend on them) in a process of its own, 128x128 at 12 frames/s.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _machine import MEGA, Report, parser, run
from torch import Tensor

from worldpatch.vae import causal
from worldpatch.vae._pixels import to_uint8
from worldpatch.video.write import write

BAR = 0.10
RATE = 12  # frames per second


def decode(output: Path, seconds: int, side: int) -> None:
    """Decode random latents of so many seconds, in chunks of four, into a video file."""
    model = causal.Model(causal.Config()).eval()
    groups = 1 + seconds * RATE // model.config.stride_t
    places = side // model.config.stride_s

    def chunks() -> Iterator[Tensor]:
        for first in range(0, groups, 4):
            yield torch.randn(1, model.config.channels, min(4, groups - first), places, places)

    def pixels() -> Iterator[np.ndarray]:
        for part in model.decode_stream(chunks()):
            yield to_uint8(part[0])

    with torch.no_grad():
        write(output, pixels(), RATE)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--decode", type=int, help=argparse.SUPPRESS)  # seconds: what each process is asked to do
    made.add_argument("--side", type=int, default=128, help="pixels")
    arguments = made.parse_args()
    if arguments.decode:
        return decode(arguments.output, arguments.decode, arguments.side)
    report = Report("Memory of a streamed decoding", arguments)
    side, rows, peaks = (32 if arguments.short else arguments.side), [], []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (1, 6) if arguments.short else (4, 60):
            output = Path(folder) / f"{seconds}.mp4"
            command = [sys.executable, __file__, "--decode", str(seconds), "--side", str(side), "-o", str(output)]
            spent = run(command)
            peaks.append(spent.peak)
            frames, size = seconds * RATE + 1, output.stat().st_size
            figures = (f"{spent.seconds:.1f}", f"{size / MEGA:.1f}", f"{spent.peak / MEGA:.0f}")
            rows.append((f"{seconds} s, {side}x{side}", frames, *figures))
    report.table(("video", "frames", "seconds", "file, MB", "peak memory, MB"), rows)
    excess = peaks[1] / peaks[0] - 1
    report.bars([("peak of the long video over the short one's", f"within {BAR:.0%}", f"{excess:+.1%}", excess <= BAR)])
    report.finish()


if __name__ == "__main__":
    main()
