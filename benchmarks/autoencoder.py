"""How much of a clip the shipped autoencoder keeps: on tabletop clips that no training saw, and on real videos.

    python benchmarks/autoencoder.py [MODEL] [--open ../shared/clips/open] [--short] [-o result.md]

Bars: 31 dB over the frame and 26 dB on objects, the objects' colours right afterwards in 99%, and a median of 25 dB on
real clips (longest side 256 pixels, first 17 frames), each of which is listed.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import Report, parser
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.data import render
from worldpatch.evals.detect import detect
from worldpatch.generate import find
from worldpatch.generate.pipeline import load_vae
from worldpatch.train.stages.vae import evaluate, psnr
from worldpatch.vae._pixels import to_tensor, to_uint8
from worldpatch.video.read import probe, read

FIRST = 5_000_000  # index of the validation clips; training sets begin at 0, the autoencoder's own bank at 10,000,000
LONGEST, FRAMES = 256, 17
BARS = {"psnr": 31.0, "psnr_objects": 26.0}


def world_clips(level: int, side: int, count: int) -> tuple[Tensor, Tensor]:
    """Frames "n 3 t h w" and masks "n 1 t h w" of held-out clips."""
    options = {"level": level, "height": side, "width": side}
    frames, masks = [], []
    for clip in render.clips("tabletop", options, 0, range(FIRST, FIRST + count), workers=0):
        assert clip.truth is not None and clip.truth.masks is not None
        frames.append(to_tensor(clip.frames))
        masks.append(torch.from_numpy(clip.truth.masks > 0)[None].float())
    return torch.stack(frames), torch.stack(masks)


def colours_kept(real: np.ndarray, decoded: np.ndarray) -> tuple[int, int]:
    """(solids whose colour is still there, solids), as the pixel detectors read both."""
    before, after = (Counter(s.colour for s in detect(frames).solids) for frames in (real, decoded))
    return (before & after).total(), before.total()


@torch.no_grad()
def tabletop(report: Report, vae: Any, level: int, count: int) -> None:
    rows, verdicts = [], []
    for side in (64, 128):
        frames, masks = world_clips(level, side, count)
        scores = evaluate(vae, frames, masks)
        pairs = [colours_kept(to_uint8(f), to_uint8(vae.decode(vae.encode(f[None]))[0])) for f in frames]
        kept = sum(k for k, _ in pairs) / sum(n for _, n in pairs)
        cells = [f"{scores[name]:.2f}" for name in ("psnr", "psnr_worst", "psnr_first", "psnr_objects")]
        rows.append((f"{side}x{side}", *cells, f"{kept:.1%}"))
        for name, bar in BARS.items():
            verdicts.append((f"{name}, {side} px", f">= {bar} dB", f"{scores[name]:.2f} dB", scores[name] >= bar))
        verdicts.append((f"colour right, {side} px", ">= 99%", f"{kept:.1%}", kept >= 0.99))
    report.say(f"\n{count} held-out tabletop clips of level {level}, 25 frames; dB:")
    report.table(("size", "frame", "worst clip", "first frames", "objects", "colours right"), rows)
    report.bars(verdicts)


def open_clips(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every file that can be read, fitted to the grid; frames "1 3 t h w"."""
    for path in sorted(folder.iterdir()):
        try:
            info = probe(path)
            scale = min(1.0, LONGEST / max(info.height, info.width))
            height, width = (round(side * scale) // 8 * 8 for side in (info.height, info.width))
            if not height or not width:
                continue
            frames = read(path, frames=FRAMES, height=height, width=width)[0]
        except UserError:
            continue  # the broken ones; what is said of each is tested in tests/video
        yield path.name, to_tensor(frames[: 1 + (len(frames) - 1) // 4 * 4])[None]


@torch.no_grad()
def real(report: Report, vae: Any, folder: Path, most: int) -> None:
    rows = []
    for (name, frames), _ in zip(open_clips(folder), range(most), strict=False):
        rows.append((name, "x".join(map(str, frames.shape[:-3:-1])), frames.shape[2], float(_psnr(vae, frames))))
    median = float(np.median([row[-1] for row in rows]))
    report.say(f"\n{len(rows)} real files, the same autoencoder:")
    report.table(("file", "size", "frames", "dB"), [(*row[:-1], f"{row[-1]:.1f}") for row in rows])
    report.bars([("median over real files", ">= 25 dB", f"{median:.1f} dB", median >= 25)])


def _psnr(vae: Any, frames: Tensor) -> Tensor:
    return psnr(vae.decode(vae.encode(frames)).float(), frames)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default="tabletop", help="a shipped model, or a folder with a vae.json")
    made.add_argument("--open", type=Path, default=Path("../shared/clips/open"), help="folder of real videos")
    made.add_argument("--level", type=int, default=2)
    made.add_argument("--count", type=int, default=100)
    arguments = made.parse_args()
    folder = Path(arguments.model)
    vae = load_vae(folder if (folder / "vae.json").exists() else find(arguments.model))
    report = Report("Autoencoder", arguments)
    tabletop(report, vae, arguments.level, 4 if arguments.short else arguments.count)
    if arguments.open.is_dir():
        real(report, vae, arguments.open, 3 if arguments.short else 1000)
    else:
        report.say(f"\nThe real videos are not on this machine ({arguments.open}).")
    report.finish()


if __name__ == "__main__":
    main()
