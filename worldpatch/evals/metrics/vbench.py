"""VBench (Huang et al. 2024), asked of one's own clips through the `vbench` package that the user has installed.

Its "custom input" mode is run on a folder of clips. The package brings, and where its cache (VBENCH_CACHE_DIR) lacks
them fetches, the networks that it judges with; this file only asks it.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from worldpatch.config import UserError
from worldpatch.evals.metrics._result import Frames, Kind, Result, check_captions, perturb
from worldpatch.video.write import write

HIGHER_IS_BETTER = True
REFERENCE: Kind = "caption"
DIMENSIONS = (
    "subject_consistency", "background_consistency", "motion_smoothness", "dynamic_degree", "aesthetic_quality",
    "imaging_quality", "temporal_flickering", "human_action", "temporal_style", "overall_consistency",
)  # fmt: skip
"""Those that its custom mode takes; its manual vouches for the first six. The last three read the captions."""
PERCENT = {"imaging_quality"}  # reported per clip from 0 to 100, where VBench's own mean is from 0 to 1


def score(
    generated: Sequence[Frames],
    reference: Sequence[str],
    dimension: str = "subject_consistency",
    rate: float = 8.0,
    device: str = "cpu",
) -> Result:
    """One of DIMENSIONS, 0 to 1: the mean over clips, shown at `rate` frames per second. The reference is captions.

    The floor is that of the same clips with one grey level of noise. Clips go through MP4, as VBench reads files.
    """
    check_captions(generated, reference)
    clips = [*generated, *(perturb(clip) for clip in generated)]
    with TemporaryDirectory() as folder:
        names = [f"{i:05d}.mp4" for i in range(len(clips))]
        for name, clip in zip(names, clips, strict=True):
            write(Path(folder) / name, clip, rate)
        captions = dict(zip(names, [*reference, *reference], strict=True))
        found = evaluate(folder, captions, (dimension,), device)[dimension]
    per_clip, noisy = ([found[name] for name in half] for half in (names[: len(generated)], names[len(generated) :]))
    return Result(
        value=float(np.mean(per_clip)),
        per_clip=tuple(per_clip),
        floor=float(np.mean(noisy)),
        version=f"vbench {_version()} {dimension}",
    )


def evaluate(
    folder: str | Path, captions: Mapping[str, str], dimensions: Sequence[str] = DIMENSIONS[:6], device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """Dimension -> file name -> figure, 0 to 1, of all MP4 files in a folder. `captions` are by file name."""
    unknown = set(dimensions) - set(DIMENSIONS)
    if unknown:
        raise UserError(
            f"VBench's custom mode has no {', '.join(sorted(unknown))}; choose from {', '.join(DIMENSIONS)}"
        )
    with TemporaryDirectory() as results:
        bench = _package().VBench(torch.device(device), "", results)
        bench.evaluate(
            videos_path=str(folder),
            name="worldpatch",
            prompt_list=dict(captions),
            dimension_list=list(dimensions),
            mode="custom_input",
            imaging_quality_preprocessing_mode="longer",
        )
        said = json.loads((Path(results) / "worldpatch_eval_results.json").read_text())
    return {dimension: _by_file(dimension, said[dimension][1]) for dimension in dimensions}


def _by_file(dimension: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    scale = 0.01 if dimension in PERCENT else 1.0
    found = {Path(row["video_path"]).name: scale * float(row["video_results"]) for row in rows}
    unclear = [name for name, value in found.items() if not np.isfinite(value)]
    if unclear:
        raise UserError(f"VBench finds no {dimension} for {', '.join(unclear)}: give clips of more frames")
    return found


def _package() -> Any:
    try:
        return importlib.import_module("vbench")
    except ImportError as error:
        raise UserError(f"this metric needs the package vbench ({error}): pip install vbench") from error


def _version() -> str:
    try:
        return metadata.version("vbench")
    except metadata.PackageNotFoundError:  # a checkout on the path
        return "of unknown version"
