"""What is being drawn, to be looked at while it is: latents to small pictures by one matrix.

An autoencoder's latents are nearly linear in what a block of pixels has on average: the matrix is fitted by least
squares to what its decoder makes of noise. A preview then costs next to nothing.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d

from worldpatch.generate.pipeline import Pipeline

SIDE, GROUPS, CLIPS = 8, 4, 8  # latents of a side, in time, and clips of the noise that is decoded
SMOOTH = 0.7  # share of the noise that neighbours have in common


@dataclass(frozen=True)
class Preview:
    """`first` and `later` take the latents of a clip's first frame, and of the others, to red, green and blue."""

    first: Float[Tensor, "k 3"]
    later: Float[Tensor, "k 3"]
    stride: int

    def frames(self, latents: Float[Tensor, "c t h w"]) -> UInt8[np.ndarray, "t h w 3"]:
        """A picture for each latent in time, a pixel for each in space."""
        tokens = latents.cpu().movedim(0, -1).float()
        ones = torch.cat((tokens, torch.ones(*tokens.shape[:3], 1)), -1)
        made = torch.cat((ones[:1] @ self.first, ones[1:] @ self.later))
        return ((made.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def fitted(pipeline: Pipeline) -> Preview:
    """The preview of a model."""
    generator = Generator().manual_seed(0)
    shape = (CLIPS, pipeline.spec.channels, 1 + GROUPS, SIDE, SIDE)
    common = torch.randn(*shape[:2], 1, 1, 1, generator=generator)
    noise = SMOOTH**0.5 * common + (1 - SMOOTH) ** 0.5 * torch.randn(shape, generator=generator)
    with torch.no_grad():
        frames = torch.cat(
            [part for part in pipeline.vae.decode_stream(iter([noise.to(pipeline.device)]), "clip")], 2
        ).cpu()
    small = torch.stack(
        [avg_pool2d(clip, pipeline.spec.stride_s) for clip in frames.movedim(1, 2).flatten(0, 1)[:, None]]
    )
    pictures = small[:, 0].unflatten(0, (CLIPS, -1)).movedim(2, -1)  # "b t h w 3"
    stride = pipeline.spec.stride_t
    later = pictures[:, 1:].unflatten(1, (GROUPS, stride)).mean(2)
    tokens = noise.movedim(1, -1)
    return Preview(_fit(tokens[:, :1], pictures[:, :1]), _fit(tokens[:, 1:], later), stride)


def _fit(tokens: Tensor, pictures: Tensor) -> Tensor:
    rows = tokens.flatten(0, -2)
    rows = torch.cat((rows, torch.ones(len(rows), 1)), 1)
    return torch.linalg.lstsq(rows, pictures.flatten(0, -2)).solution
