"""Frechet video distance (Unterthiner et al. 2019) on I3D features, with the weights that the user brings.

`i3d_torchscript.pt` is the TorchScript of the I3D network of the original (Kinetics-400), made for StyleGAN-V by its
authors (github.com/universome/fvd-comparison); it resizes and rescales frames itself. Its path is `weights` or
WORLDPATCH_I3D. Loading TorchScript runs what is in the file: use one that you trust.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from worldpatch.config import UserError
from worldpatch.evals.metrics._brought import identity, locate
from worldpatch.evals.metrics._distances import frechet
from worldpatch.evals.metrics._result import Frames, Kind, Result, check_clips, perturb

HIGHER_IS_BETTER = False
REFERENCE: Kind = "set"
VARIABLE = "WORLDPATCH_I3D"
WHERE = "the file i3d_torchscript.pt (github.com/universome/fvd-comparison links to it)"
SHORTEST = 10  # frames, below which I3D's strides leave nothing


def score(
    generated: Sequence[Frames], reference: Sequence[Frames], weights: str | Path | None = None, device: str = "cpu"
) -> Result:
    """FVD of two sets of clips, all of one length (published figures take 16 frames and 2048 clips).

    It is biased upwards by small sets: compare figures of equal counts only. `per_clip` is empty.
    """
    for clips in (generated, reference):
        check_clips(clips, least=2)
    lengths = sorted({len(clip) for clip in [*generated, *reference]})
    if len(lengths) > 1 or lengths[0] < SHORTEST:
        raise UserError(f"FVD needs clips of one length of at least {SHORTEST} frames, these have {lengths}: trim them")
    path = locate(weights, VARIABLE, WHERE)
    network = _load(path, device)
    expected = features(network, reference, device)
    noisy = features(network, [perturb(r) for r in reference], device)
    return Result(
        value=frechet(features(network, generated, device), expected),
        per_clip=(),
        floor=frechet(noisy, expected),
        version=f"I3D {identity(path)}",
    )


def _load(path: Path, device: str) -> Any:
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path} is no TorchScript module: give {WHERE}") from error


@torch.no_grad()
def features(network: Any, clips: Sequence[Frames], device: str) -> Float[np.ndarray, "n d"]:
    """The network's logits (400 of the original), one clip at a time, so that clips may differ in size."""
    rows = []
    for clip in clips:
        pixels = torch.from_numpy(np.ascontiguousarray(clip)).to(device).permute(3, 0, 1, 2)[None].float()
        rows.append(network(pixels, rescale=True, resize=True, return_features=True)[0].float().cpu().numpy())
    return np.stack(rows)
