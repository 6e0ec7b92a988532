"""From one group of frames to the next: how much decoded clips step there, before and after the step is spread.

    python benchmarks/seams.py [MODEL] [--short] [-o benchmarks/seams.md]

Renders of level 2 that only went through the autoencoder, and samples of the frozen prompts. Bar: the change from group
to group at most 1.5 times that within groups, at a loss of at most 0.1 dB to the renders.
"""

import numpy as np
import torch
from _machine import Report, parser
from torch import Tensor

from worldpatch import generate
from worldpatch.evals.suites import prompts
from worldpatch.generate._seams import even
from worldpatch.types import Request
from worldpatch.worlds import tabletop

MODEL, STEP, LOSS = "tabletop", 1.5, 0.1


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default=MODEL)
    arguments = made.parse_args()
    report = Report("Groups of frames", arguments)
    pipeline = generate.load(generate.find(arguments.model))
    stride, count = pipeline.spec.stride_t, 4 if report.short else 32
    renders = [torch.from_numpy(frames) for frames in rendered(pipeline, count)]
    decoded = [through(pipeline, frames) for frames in renders]
    sampled = drawn(pipeline, count)
    rows, bars = [], []
    for name, clips, real in (("decoded renders", decoded, renders), ("samples", sampled, None)):
        spread = [even(clip, stride) for clip in clips]
        for way, of in (("as decoded", clips), ("spread", spread)):
            near = "-" if real is None else f"{np.mean([psnr(a, b) for a, b in zip(of, real, strict=True)]):.2f}"
            rows.append((name, way, f"{step(of, stride):.2f}", f"{change(of):.2f}", near))
        bars.append(
            (
                f"{name}: change from group to group over that within",
                f"{STEP:g}",
                rows[-1][2],
                float(rows[-1][2]) <= STEP,
            )
        )
    lost = float(rows[0][4]) - float(rows[1][4])
    bars.append(("decibels lost", f"{LOSS:g}", f"{lost:.2f}", lost <= LOSS))
    rows.append(("renders", "as rendered", f"{step(renders, stride):.2f}", f"{change(renders):.2f}", "-"))
    report.table(("clips", "way", "group to group / within", "change per frame, grey levels", "dB to the render"), rows)
    report.bars(bars)
    report.finish()


def rendered(pipeline: generate.Pipeline, count: int) -> list[np.ndarray]:
    usual = pipeline.usual
    config = tabletop.Config(level=2, height=usual.height, width=usual.width, frames=usual.frames, masks=False)
    return [tabletop.clip(config, 900, i).frames for i in range(count)]


@torch.no_grad()
def through(pipeline: generate.Pipeline, frames: Tensor) -> Tensor:
    clip = frames.movedim(-1, 0)[None].float() / 127.5 - 1
    return bytes_of(pipeline.vae.decode(pipeline.vae.encode(clip)))


@torch.no_grad()
def drawn(pipeline: generate.Pipeline, count: int) -> list[Tensor]:
    """Samples of the frozen prompts, decoded without what `Pipeline.decode` does afterwards."""
    asked = prompts.load(1)[:count]
    plans = [generate.plan(Request(ability="text_to_video", params={"prompt": p.caption}), pipeline) for p in asked]
    latents = pipeline.latents(plans, [(i, 0) for i in range(count)])
    return [bytes_of(pipeline.vae.decode(latent[None])) for latent in latents]


def bytes_of(video: Tensor) -> Tensor:
    return video[0].add(1).mul(127.5).round().clamp(0, 255).byte().movedim(0, -1)


def step(clips: list[Tensor], stride: int) -> float:
    """The change from group to group over that within groups: the median clip's."""
    return float(np.median([_step(clip, stride) for clip in clips]))


def _step(clip: Tensor, stride: int) -> float:
    moved = clip.float().diff(dim=0).abs().mean((1, 2, 3))[stride:]  # the first group follows a single frame
    between = torch.arange(len(moved)) % stride == 0
    return float(moved[between].median() / moved[~between].median().clamp_min(0.1))


def change(clips: list[Tensor]) -> float:
    return float(np.mean([clip.float().diff(dim=0).abs().mean() for clip in clips]))


def psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean()))


if __name__ == "__main__":
    main()
