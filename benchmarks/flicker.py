"""How much decoded clips flicker, before and after `generate/_flicker.py`.

    python benchmarks/flicker.py [MODEL] [--short] [-o benchmarks/flicker.md]

Renders of level 1 that only went through the autoencoder, and samples of the frozen prompts. Bars: the change from
group to group at most 1.5 times that within groups; decoded renders move at most 1.3 times as much as the renders
themselves, and are no further from them than they were.
"""

from collections.abc import Callable

import numpy as np
import torch
from _machine import Report, parser
from torch import Tensor

from worldpatch import generate
from worldpatch.evals.directing import changes
from worldpatch.evals.metrics import motion
from worldpatch.evals.suites import prompts
from worldpatch.generate._flicker import _even, steady
from worldpatch.types import Request
from worldpatch.worlds import tabletop

MODEL, STEP, MOTION = "tabletop", 1.5, 1.3
SEED = 900


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default=MODEL)
    arguments = made.parse_args()
    report = Report("Flicker", arguments)
    pipeline = generate.load(generate.find(arguments.model))
    stride, count = pipeline.spec.stride_t, 4 if report.short else 32
    renders = [torch.from_numpy(frames) for frames in rendered(pipeline, count)]
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "as decoded": lambda clip: clip, "steps spread": lambda clip: _even(clip, stride),
        "and averaged": lambda clip: steady(clip, stride),
    }  # fmt: skip
    rows: list[tuple[str, ...]] = [("renders", "as rendered", *told(renders, stride))]
    for name, way in ways.items():
        clips = [way(through(pipeline, frames)) for frames in renders]
        moved = np.median([motion.ratio(a.numpy(), b.numpy()) for a, b in zip(clips, renders, strict=True)])
        near = np.mean([psnr(a, b) for a, b in zip(clips, renders, strict=True)])
        rows.append(("decoded renders", name, *told(clips, stride), f"{moved:.2f}", f"{near:.2f}"))
    sampled = drawn(pipeline, count)
    rows += [("samples", name, *told([way(clip) for clip in sampled], stride)) for name, way in ways.items()]
    report.table(
        ("clips", "way", "group to group / within", "change per frame, grey levels", "motion / render", "dB to it"),
        [(*row, *("-",) * (6 - len(row))) for row in rows],
    )
    first, last = rows[1], rows[len(ways)]
    report.bars(
        [
            ("decoded renders: group to group over within", f"{STEP:g}", last[2], float(last[2]) <= STEP),
            ("samples: group to group over within", f"{STEP:g}", rows[-1][2], float(rows[-1][2]) <= STEP),
            ("decoded renders: motion over the renders'", f"{MOTION:g}", last[4], float(last[4]) <= MOTION),
            ("decibels to the renders", first[5], last[5], float(last[5]) >= float(first[5])),
        ]
    )
    report.finish()


def rendered(pipeline: generate.Pipeline, count: int) -> list[np.ndarray]:
    usual = pipeline.usual
    config = tabletop.Config(level=1, height=usual.height, width=usual.width, frames=usual.frames, masks=False)
    return [tabletop.clip(config, SEED, i).frames for i in range(count)]


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


def told(clips: list[Tensor], stride: int) -> tuple[str, str]:
    """The change from group to group over that within groups, the median clip's; and the change of all."""
    moved = [changes(clip.numpy()) for clip in clips]
    return f"{np.median([step(m, stride) for m in moved]):.2f}", f"{np.mean([m.mean() for m in moved]):.2f}"


def step(moved: np.ndarray, stride: int) -> float:
    moved = moved[stride:]  # the first group follows a single frame
    between = np.arange(len(moved)) % stride == 0
    return float(np.median(moved[between]) / max(np.median(moved[~between]), 0.1))


def psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean()))


if __name__ == "__main__":
    main()
