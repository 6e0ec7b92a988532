"""Known pixels among drawn ones, without a seam.

An autoencoder loses a little of every frame: fine texture, half a grey level of light. Where known pixels are put back
beside drawn ones, that little shows as a jump. So what it lost of the known pixels is also given to their neighbours:
into the same frame, blurred, as far as light and colour go; and to the frames before and after, where the picture has
not changed since, less and less.
"""

from collections.abc import Callable, Container
from functools import lru_cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import conv1d, pad

from worldpatch.types import Paste

SPREAD = 1 / 16  # of the shorter side: how far light and colour reach into the unknown part of a frame
ALIKE = 12.0  # grey levels: a pixel that has changed by so much has little to do with what was there
FADE = 1.5  # seconds until a known frame no longer counts


def seamless(video: UInt8[Tensor, "t h w 3"], paste: Paste, rate: float) -> UInt8[Tensor, "t h w 3"]:
    """A decoded video with its known pixels back, and with what the autoencoder lost of them given to those nearby."""
    masks, out, reach = paste.mask[0], video.clone(), max(1, round(FADE * rate))
    known = set(torch.nonzero(masks.flatten(1).amax(1) > 0.5).flatten().tolist())

    @lru_cache(2)  # the nearest known frames on either side, asked for by all between
    def lost(i: int) -> Float[Tensor, "h w 3"]:
        pixels = (paste.frames[:, i].movedim(0, -1) + 1) * 127.5
        return _spread((pixels - video[i]) * masks[i, ..., None], masks[i])

    for i in range(len(video)):
        added = lost(i) if i in known else _carried(i, video, lost, known, reach)
        out[i] = (video[i] + added).round().clamp(0, 255).byte()
    return out


def alike(change: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 1"]:
    """1 where a picture has hardly changed, falling to 0 where something else has come."""
    return torch.exp(-((_blur(change.abs().amax(-1)[None], 1.0)[0] / ALIKE) ** 2))[..., None]


def _spread(lost: Float[Tensor, "h w 3"], mask: Float[Tensor, "h w"]) -> Float[Tensor, "h w 3"]:
    """What a partly known frame lost: as it is where that is known, blurred and fading beside it."""
    if bool((mask > 0.5).all()):
        return lost
    sigma = max(1.0, SPREAD * min(mask.shape))
    both = torch.cat((lost, mask[..., None]), -1).movedim(-1, 0)  # (4, h, w)
    *light, share = _blur(both, sigma)
    near = (2 * share).clamp(max=1)  # half a Gaussian lies on the known side of a straight border
    spread = torch.stack(light, -1) / share.clamp_min(1e-3)[..., None] * near[..., None]
    return torch.where(mask[..., None] > 0.5, lost, spread)


def _carried(
    i: int, video: UInt8[Tensor, "t h w 3"], lost: Callable[[int], Tensor], known: Container[int], reach: int
) -> Float[Tensor, "h w 3"]:
    """What the nearest frames with known pixels lost, where frame `i` still looks like them."""
    frame = video[i].float()
    total, weights = torch.zeros_like(frame), torch.zeros_like(frame[..., :1])
    for way in (-1, 1):
        near = next((i + way * d for d in range(1, reach + 1) if i + way * d in known), None)
        if near is None:
            continue
        weight = alike(frame - video[near]) * (1 - (abs(near - i) - 1) / reach)
        total, weights = total + weight * lost(near), weights + weight
    return total / weights.clamp_min(1)


def _blur(x: Float[Tensor, "c h w"], sigma: float) -> Float[Tensor, "c h w"]:
    """A Gaussian blur; beyond its border a picture is taken to hold nothing."""
    half = round(3 * sigma)
    kernel = torch.exp(-((torch.arange(-half, half + 1, device=x.device) / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum())[None, None].to(x.dtype)
    for _ in range(2):  # along one axis, then along the other
        lines = x.flatten(0, 1)[:, None]
        x = conv1d(pad(lines, (half, half)), kernel)[:, 0].view(x.shape).transpose(1, 2)
    return x
