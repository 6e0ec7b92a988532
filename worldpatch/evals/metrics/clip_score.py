"""CLIP score: does a clip look like its caption? 100 times the cosine of CLIP's features, with weights the user brings.

Per frame max(0, 100 cos), as in Hessel et al. 2021 without their factor 2.5; a clip counts the mean of its frames
(CLIPSIM, Wu et al. 2021). `weights`, or WORLDPATCH_CLIP, is a folder of a `transformers` CLIPModel with its tokenizer,
such as openai/clip-vit-base-patch32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldpatch.evals.metrics._brought import identity, locate, pretrained, spread, squares, tokenizer
from worldpatch.evals.metrics._result import Frames, Kind, Result, check_captions, perturb

HIGHER_IS_BETTER = True
REFERENCE: Kind = "caption"
VARIABLE = "WORLDPATCH_CLIP"
WHERE = "a folder of openai/clip-vit-base-patch32 or another CLIP, downloaded from Hugging Face"
FRAMES = 16  # at most, spread over the clip
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def score(
    generated: Sequence[Frames], reference: Sequence[str], weights: str | Path | None = None, device: str = "cpu"
) -> Result:
    """Mean CLIP score, 0 to 100. The reference is one caption per clip.

    The floor is the score of the same clips with one grey level of noise: how far it lies from `value` is the noise.
    """
    check_captions(generated, reference)
    path = locate(weights, VARIABLE, WHERE)
    network, words = pretrained(path, ("CLIPModel",)).to(device), tokenizer(path)
    per_clip, floor = [], []
    for clip, caption in zip(generated, reference, strict=True):
        text = _text(network, words, caption, device)
        per_clip.append(similarity(network, clip, text, device))
        floor.append(similarity(network, perturb(clip), text, device))
    return Result(
        value=float(np.mean(per_clip)),
        per_clip=tuple(per_clip),
        floor=float(np.mean(floor)),
        version=f"CLIPModel {identity(path)}",
    )


@torch.no_grad()
def similarity(network: Any, clip: Frames, text: torch.Tensor, device: str) -> float:
    """Mean over frames of max(0, 100 cos) of a clip and the unit feature of a sentence."""
    side = network.config.vision_config.image_size
    pixels = squares(spread(clip, min(FRAMES, len(clip))), side, MEAN, STD, device, "bicubic")
    seen = network.visual_projection(network.vision_model(pixel_values=pixels).pooler_output)
    cosine = torch.nn.functional.normalize(seen.float(), dim=-1) @ text
    return float(100 * cosine.clamp(min=0).mean())


@torch.no_grad()
def _text(network: Any, words: Any, caption: str, device: str) -> torch.Tensor:
    """The unit feature of a sentence; CLIP reads its first 77 tokens."""
    longest = network.config.text_config.max_position_embeddings
    tokens = words([caption], truncation=True, max_length=longest, return_tensors="pt").to(device)
    said = network.text_projection(network.text_model(**tokens).pooler_output)
    return torch.nn.functional.normalize(said.float(), dim=-1)[0]
