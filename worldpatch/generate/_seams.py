"""Known pixels among drawn ones, without a seam.

What is drawn differs a little from what is given even where both show the same thing: an autoencoder loses fine
texture, a model is half a shade off. Beside known pixels that little shows as a jump. So what lies next to them is
brought over to them, wholly where it is nearly so already and not at all where something else has come: within a frame
by the difference in light and colour between the two sides of the border, in the frames before and after by the pixels
themselves, which fade into what was drawn.
"""

from collections.abc import Container
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import conv1d, pad

from worldpatch.types import Paste

SPREAD = 1 / 16  # of the shorter side: how far light and colour reach into the unknown part of a frame
ALIKE = 30.0  # grey levels: a pixel that has changed by so much has little to do with what was there
FADE = 0.75  # seconds until a known frame no longer counts: longer, and still texture would stick to what moves


def seamless(video: UInt8[Tensor, "t h w 3"], paste: Paste, rate: float) -> UInt8[Tensor, "t h w 3"]:
    """A decoded video with its known pixels back, and what was drawn next to them, in space and time, brought over."""
    masks, out, reach = paste.mask[0] > 0.5, video.clone(), max(1, round(FADE * rate))
    known = set(torch.nonzero(masks.flatten(1).any(1)).flatten().tolist())

    @lru_cache(2)  # the nearest known frames on either side, asked for by all between
    def given(i: int) -> Float[Tensor, "h w 3"]:
        return _joined((paste.frames[:, i].movedim(0, -1) + 1) * 127.5, video[i].float(), masks[i])

    for i in range(len(video)):
        frame = video[i].float()
        total, weights = torch.zeros_like(frame), torch.zeros_like(frame[..., :1])
        for near in (i,) if i in known else _nearest(i, known, reach):
            fade = 1 - max(0, abs(near - i) - 1) / reach
            weight = fade * alike(frame - given(near), ALIKE) * masks[near][..., None] if near != i else 1.0
            total, weights = total + weight * (given(near) - frame), weights + weight
        out[i] = (frame + total / weights.clamp_min(1)).round().clamp(0, 255).byte()
    return out


def alike(change: Float[Tensor, "h w 3"], level: float) -> Float[Tensor, "h w 1"]:
    """1 where a picture has hardly changed, falling to 0 where it has by more than `level`, in grey levels."""
    return torch.exp(-((_blur(change.abs().amax(-1)[None], 1.0, "replicate")[0] / level) ** 2))[..., None]


def _nearest(i: int, known: Container[int], reach: int) -> tuple[int, ...]:
    """The last known frame before and the first one after, as far as they are within reach."""
    ways = (next((i + way * d for d in range(1, reach + 1) if i + way * d in known), None) for way in (-1, 1))
    return tuple(near for near in ways if near is not None)


def _joined(
    known: Float[Tensor, "h w 3"], drawn: Float[Tensor, "h w 3"], mask: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w 3"]:
    """A frame of both. What is drawn takes over what the known side of the border is brighter or redder by on average;
    where the two sides differ too much for that, it is no matter of light."""
    if bool(mask.all()):
        return known
    sigma = max(1.0, SPREAD * min(mask.shape))
    here, there = _mean(known, mask, sigma), _mean(drawn, ~mask, sigma)
    step = here[..., :3] - there[..., :3]
    near = (2 * here[..., 3:]).clamp(max=1)  # half a Gaussian lies on the known side of a straight border
    small = torch.exp(-((step.abs().amax(-1, keepdim=True) / ALIKE) ** 2))
    return torch.where(mask[..., None], known, drawn + near * small * step)


def _mean(frame: Float[Tensor, "h w 3"], mask: Bool[Tensor, "h w"], sigma: float) -> Float[Tensor, "h w 4"]:
    """The blurred mean of those pixels that are in a mask, and how much of them there is."""
    share = mask[..., None].float()
    *light, near = _blur(torch.cat((frame * share, share), -1).movedim(-1, 0), sigma)
    return torch.cat((torch.stack(light, -1) / near.clamp_min(1e-3)[..., None], near[..., None]), -1)


def _blur(x: Float[Tensor, "c h w"], sigma: float, beyond: str = "constant") -> Float[Tensor, "c h w"]:
    """A Gaussian blur; `beyond` its border a picture holds nothing, or goes on as at the border ("replicate")."""
    half = round(3 * sigma)
    kernel = torch.exp(-((torch.arange(-half, half + 1, device=x.device) / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum())[None, None].to(x.dtype)
    for _ in range(2):  # along one axis, then along the other
        lines = x.flatten(0, 1)[:, None]
        x = conv1d(pad(lines, (half, half), beyond), kernel)[:, 0].view(x.shape).transpose(1, 2)
    return x
