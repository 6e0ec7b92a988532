"""The same prompts and noise at small, middle and large compute, side by side, as Sora's report shows."""

from collections.abc import Sequence
from pathlib import Path

from worldpatch.train.scaling import points
from worldpatch.train.scaling.points import Point

PROMPTS, STEPS = 8, 25


def sheet(found: Sequence[Point], folder: Path, level: int, device: str = "cpu", prompts: int = PROMPTS) -> Path:
    """A row per prompt of the frozen suite, a column per compute: the best network of the smallest, middle and largest
    budget; writes and returns `sheet.png`."""
    from worldpatch.evals.suites.prompts import fixed32
    from worldpatch.video.sheet import contact_sheet

    chosen = columns(found)
    asked = [p.caption for p in fixed32(level)[:prompts]]
    sampled = [_samples(folder / point.export, asked, device) for point in chosen]
    clips = [films[i] for i in range(len(asked)) for films in sampled]
    captions = [f"{p.flops:.1e} FLOPs, {p.parameters / 1e6:.2g}M\n{caption}" for caption in asked for p in chosen]
    path = folder / "sheet.png"
    contact_sheet(clips, captions, path, columns=len(chosen), frames_per_clip=4)
    return path


def columns(found: Sequence[Point]) -> list[Point]:
    """The best networks of the smallest, the middle and the largest budget."""
    best = points.best(found)
    return [best[i] for i in dict.fromkeys((0, len(best) // 2, len(best) - 1))]


def _samples(export: Path, prompts: Sequence[str], device: str) -> list:
    """One clip per prompt, the noise fixed by the prompt's number; not by `generate.run`, which wants pydantic."""
    import torch

    from worldpatch.generate.pipeline import load
    from worldpatch.types import Plan

    pipeline = load(export, device)
    assert pipeline.record is not None
    trained = pipeline.record["trained_on"]
    start = torch.ones(*trained["grids"][0])
    plans = [Plan(start=start, rate=min(trained["rates"]), prompt=prompt) for prompt in prompts]
    latents = pipeline.latents(plans, [(i, 0) for i in range(len(plans))], steps=STEPS)
    return [frames.numpy() for frames in pipeline.decode(plans, latents)]
