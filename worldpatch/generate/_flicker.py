"""What flickers though nothing moves.

Frames come out of an autoencoder in groups, one per latent. Where a picture stands still, light and texture step from
group to group and tremble within them by a grey level or two: too little to see at once, and over a whole frame as much
as a small thing that moves.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d

from worldpatch.generate._seams import alike

STEP = 12.0  # grey levels: larger steps between groups are motion
TREMBLE = 3.0  # grey levels: neighbourhoods that differ by more do so for a reason
SIDE = 5  # pixels of a neighbourhood
AT_ONCE = 8  # frames


def steady(video: UInt8[Tensor, "t h w 3"], stride: int) -> UInt8[Tensor, "t h w 3"]:
    """A decoded video, in groups of `stride` frames after its first, without its flicker.

    Steps from group to group are spread over the group that follows; then each pixel is averaged over a group's length
    before and after, as far as its neighbourhood there is alike: a bilateral filter along time (Tomasi & Manduchi 1998)
    whose weights compare neighbourhoods, as non-local means do (Buades et al. 2005). What moves stays as it is.
    """
    return video if stride == 1 else _averaged(_even(video, stride), stride)


def _even(video: UInt8[Tensor, "t h w 3"], stride: int) -> UInt8[Tensor, "t h w 3"]:
    """Of a step, only what the motion before and after does not tell, and is small enough to be no motion of its own: a
    group's first frame gives most of it back, its last one nothing."""
    video = video.clone()
    for start in range(len(video) % stride or stride, len(video) - 1, stride):
        first = max(0, start - 2)
        near = video[first : start + stride].float()
        here = start - first
        change = near.diff(dim=0)
        around = (change[here - 2] if here > 1 else change[here]) + change[here]
        step = change[here - 1] - around / 2
        step *= alike(step, STEP)
        share = 1 - torch.arange(1, stride + 1)[: len(near) - here] / stride
        near[here:] -= share[:, None, None, None] * step
        video[start : start + stride] = near[here:].round().clamp(0, 255).byte()
    return video


def _averaged(video: UInt8[Tensor, "t h w 3"], reach: int) -> UInt8[Tensor, "t h w 3"]:
    """A few frames at a time, each with those before and after it."""
    out = torch.empty_like(video)
    for start in range(0, len(video), AT_ONCE):
        stop, first = start + AT_ONCE, max(0, start - reach)
        near = _mean_of_alike(video[first : stop + reach].float(), reach)
        out[start:stop] = near[start - first : stop - first].round().byte()
    return out


def _mean_of_alike(frames: Float[Tensor, "t h w 3"], reach: int) -> Float[Tensor, "t h w 3"]:
    total, weights = frames.clone(), torch.ones_like(frames[..., :1])
    for apart in range(1, min(reach, len(frames) - 1) + 1):
        early, late = frames[:-apart], frames[apart:]
        change = (late - early).square().mean(-1)
        around = avg_pool2d(change, SIDE, stride=1, padding=SIDE // 2, count_include_pad=False)
        weight = torch.exp(-around / (2 * TREMBLE**2))[..., None]
        total[apart:] += weight * early
        total[:-apart] += weight * late
        weights[apart:] += weight
        weights[:-apart] += weight
    return total / weights
