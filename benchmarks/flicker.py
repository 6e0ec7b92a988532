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
from worldpatch.evals.metrics import motion, psnr
from worldpatch.evals.suites import prompts
from worldpatch.generate._flicker import _even, steady
from worldpatch.types import Request
from worldpatch.vae._pixels import to_tensor, to_uint8
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
    renders = rendered(pipeline, count)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "as decoded": lambda clip: clip, "steps spread": lambda clip: _even(clip, stride),
        "and averaged": lambda clip: steady(clip, stride),
    }  # fmt: skip
    rows: list[tuple[str, ...]] = [("renders", "as rendered", *told(renders, stride))]
    decoded = [through(pipeline, frames) for frames in renders]
    for name, way in ways.items():
        clips = [way(clip).numpy() for clip in decoded]
        moved = np.median([motion.ratio(a, b) for a, b in zip(clips, renders, strict=True)])
        near = psnr.score(clips, renders).value
        rows.append(("decoded renders", name, *told(clips, stride), f"{moved:.2f}", f"{near:.2f}"))
    sampled = drawn(pipeline, count)
    rows += [("samples", name, *told([way(clip).numpy() for clip in sampled], stride)) for name, way in ways.items()]
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
def through(pipeline: generate.Pipeline, frames: np.ndarray) -> Tensor:
    """What the autoencoder alone makes of a render."""
    return torch.from_numpy(to_uint8(pipeline.vae.decode(pipeline.vae.encode(to_tensor(frames)[None]))[0]))


@torch.no_grad()
def drawn(pipeline: generate.Pipeline, count: int) -> list[Tensor]:
    """Samples of the frozen prompts, decoded without what `Pipeline.decode` does afterwards."""
    asked = prompts.load(1)[:count]
    plans = [generate.plan(Request(ability="text_to_video", params={"prompt": p.caption}), pipeline) for p in asked]
    latents = pipeline.latents(plans, [(i, 0) for i in range(count)])
    return [torch.from_numpy(to_uint8(pipeline.vae.decode(latent[None])[0])) for latent in latents]


def told(clips: list[np.ndarray], stride: int) -> tuple[str, str]:
    """The change from group to group over that within groups, the median clip's; and the change of all."""
    moved = [changes(clip) for clip in clips]
    return f"{np.median([step(m, stride) for m in moved]):.2f}", f"{np.mean([m.mean() for m in moved]):.2f}"


def step(moved: np.ndarray, stride: int) -> float:
    moved = moved[stride:]  # the first group follows a single frame
    between = np.arange(len(moved)) % stride == 0
    return float(np.median(moved[between]) / max(np.median(moved[~between]), 0.1))


if __name__ == "__main__":
    main()
