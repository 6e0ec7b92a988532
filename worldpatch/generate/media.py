"""What a user brings, as a model takes it: pictures and videos at its size and rate, masks, and their latents."""

import itertools
import logging
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Paste
from worldpatch.vae._pixels import to_tensor
from worldpatch.video import read
from worldpatch.video.resize import Rule, fit

log = logging.getLogger(__name__)

Frames = UInt8[np.ndarray, "_ h w 3"]
Start = Literal["clip", "continuation"]
CHUNK = 32  # frames that are encoded at a time
LONGEST = 14400  # frames that are taken of a video


def picture(path: str | Path, height: int, width: int, rule: Rule = "crop") -> Frames:
    """The first frame of a picture or video, at this size. Raises UserError where it is neither."""
    _, frames = read.stream(path)
    return fit(next(frames)[None], height, width, rule)


def film(path: str | Path, rate: float, height: int, width: int, rule: Rule = "crop") -> Frames:
    """All of a video at this size, with so many frames per second: those shown at the time of each. A picture is one.

    Says what was converted. Raises UserError where it is no video, or longer than `LONGEST` frames.
    """
    info = read.probe(path)
    stamp = info.path.stat()
    return _film(info, (stamp.st_mtime_ns, stamp.st_size), rate, height, width, rule)


@lru_cache(maxsize=4)  # a request is looked at before it is run
def _film(info: read.Info, stamp: tuple[int, int], rate: float, height: int, width: int, rule: Rule) -> Frames:
    if info.frames == 1:
        return picture(info.path, height, width, rule)
    # Halved more quickly than `fit` would: what is left for it is a factor of two.
    found, frames = read.stream(info.path, side=2 * round(max(info.height, info.width) * _cover(info, height, width)))
    taken = [fit(frame[None], height, width, rule)[0] for frame in _at(frames, found, rate)]
    if (info.height, info.width) != (height, width) or abs(found - rate) > 1e-3:
        log.warning(
            f"{info.path}: {info.width}x{info.height} at {found:.4g} per second becomes {width}x{height} at {rate:g}"
        )
    return np.stack(taken)


def _cover(info: read.Info, height: int, width: int) -> float:
    """The scale at which a picture covers height x width."""
    return max(height / info.height, width / info.width)


def _at(frames: Iterable[read.Frame], found: float, rate: float) -> Iterator[read.Frame]:
    """The frames shown at the times k / rate."""
    wanted = 0
    for index, frame in enumerate(frames):
        while wanted * found < (index + 1 - 1e-6) * rate:
            if wanted == LONGEST:
                raise UserError(f"the video has more than {LONGEST} frames at {rate:g} per second: cut it first")
            yield frame
            wanted += 1


def size_of(path: str | Path) -> tuple[int, int]:
    """(height, width) as displayed. Raises UserError where it is no picture or video."""
    info = read.probe(path)
    return info.height, info.width


def seconds_of(path: str | Path) -> float:
    """Length of a video as its header states it. Raises UserError where it is no picture or video."""
    return read.probe(path).seconds


# -------------------------------------------------------------------------------------------------------------- latents


@torch.no_grad()
def encode(frames: Frames, pipeline: Pipeline, kind: Start = "clip") -> Float[Tensor, "c g i j"]:
    """Latents of frames, on the CPU. Their number must fill the autoencoder's groups."""
    chunks = (to_tensor(frames[at : at + CHUNK])[None].to(pipeline.device) for at in range(0, len(frames), CHUNK))
    return torch.cat([part[0].float().cpu() for part in pipeline.vae.encode_stream(chunks, kind)], 1)


def fill(frames: Frames, stride: int, kind: Start = "clip", before: bool = False) -> tuple[Frames, int]:
    """Frames with the last one (`before`: the first one) repeated until they fill groups; and how often it was."""
    missing = -(len(frames) - (kind == "clip")) % stride
    more = np.repeat(frames[:1] if before else frames[-1:], missing, 0)
    return np.concatenate([more, frames] if before else [frames, more]), missing


# --------------------------------------------------------------------------------------------------------------- pixels


def paste(frames: Frames, keep: Bool[np.ndarray, "_ h w"], at: int, total: int) -> Paste:
    """Known pixels, where `keep` is true, from frame `at` of `total` on."""
    t, h, w, _ = frames.shape
    known, mask = torch.zeros(3, total, h, w), torch.zeros(1, total, h, w)
    known[:, at : at + t] = to_tensor(frames)
    mask[0, at : at + t] = torch.from_numpy(keep).float()
    return Paste(frames=known, mask=mask)


def everywhere(frames: Frames) -> Bool[np.ndarray, "_ h w"]:
    return np.ones(frames.shape[:3], bool)


def join(pastes: Iterable[Paste]) -> Paste:
    """Several as one; of two that know the same pixel the later one counts."""
    first, *others = pastes
    frames, mask = first.frames.clone(), first.mask.clone()
    for other in others:
        frames = torch.where(other.mask > 0.5, other.frames, frames)
        mask = torch.maximum(mask, other.mask)
    return Paste(frames=frames, mask=mask)


# ---------------------------------------------------------------------------------------------------------------- masks


def mask(path: str | Path, count: int, height: int, width: int) -> Bool[np.ndarray, "_ h w"]:
    """White parts of a picture or of a video of so many frames. Raises UserError on another number of frames."""
    _, stream = read.stream(path)
    frames = list(itertools.islice(stream, count + 1))
    if len(frames) not in (1, count):
        more = f"more than {count}" if len(frames) > count else str(len(frames))
        raise UserError(f"the mask {path} has {more} frames: give one, or {count} as the video has at the model's rate")
    bright = fit(np.stack(frames), height, width).mean(-1) > 127
    return np.broadcast_to(bright, (count, height, width)).copy()
