"""JEDi (Luo et al. 2024, arXiv 2410.05203): kernel distance of V-JEPA features, with weights that the user brings.

The kernel, its scale and the estimate follow the published code (github.com/oooolga/JEDi): (x . y / d)^2, biased, times
100. The published features are those of V-JEPA ViT-H/16 with a probe trained on SSv2; `transformers` knows V-JEPA 2
only. So give a folder of a V-JEPA 2 (`weights` or WORLDPATCH_VJEPA), best one with an SSv2 probe such as
facebook/vjepa2-vitl-fpc16-256-ssv2; figures then compare among themselves, not with the paper's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from worldpatch.evals.metrics._brought import identity, locate, pretrained, spread, squares
from worldpatch.evals.metrics._distances import polynomial_mmd
from worldpatch.evals.metrics._result import Frames, Kind, Result, check_clips, perturb

HIGHER_IS_BETTER = False
REFERENCE: Kind = "set"
VARIABLE = "WORLDPATCH_VJEPA"
WHERE = "a folder of facebook/vjepa2-vitl-fpc16-256-ssv2 or another V-JEPA 2, downloaded from Hugging Face"
PROBED, BARE = "VJEPA2ForVideoClassification", "VJEPA2Model"
FRAMES = 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def score(
    generated: Sequence[Frames], reference: Sequence[Frames], weights: str | Path | None = None, device: str = "cpu"
) -> Result:
    """JEDi of two sets of clips of any size and length. `per_clip` is empty."""
    for clips in (generated, reference):
        check_clips(clips, least=2)
    path = locate(weights, VARIABLE, WHERE)
    network = pretrained(path, (PROBED, BARE)).to(device)
    expected = features(network, reference, device)
    noisy = features(network, [perturb(r) for r in reference], device)
    return Result(
        value=distance(features(network, generated, device), expected),
        per_clip=(),
        floor=distance(noisy, expected),
        version=f"{type(network).__name__} {identity(path)}",
    )


def distance(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """100 times the biased squared MMD with the kernel (x . y / d)^2."""
    return 100 * polynomial_mmd(a, b, degree=2, offset=0.0, unbiased=False)


@torch.no_grad()
def features(network: Any, clips: Sequence[Frames], device: str) -> Float[np.ndarray, "n d"]:
    """What the probe pools from FRAMES frames spread over each clip; without a probe, the mean of all tokens."""
    rows = []
    for clip in clips:
        side = network.config.crop_size
        pixels = squares(spread(clip, FRAMES), side, MEAN, STD, device, "bilinear")[None]
        if type(network).__name__ == PROBED:
            tokens = network.vjepa2(pixels, skip_predictor=True).last_hidden_state
            rows.append(network.pooler(tokens)[0])
        else:
            rows.append(network(pixels, skip_predictor=True).last_hidden_state.mean(1)[0])
    return torch.stack(rows).float().cpu().numpy()
