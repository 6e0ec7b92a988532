"""Inpaint: a part of a video, in space and time, is drawn anew; all else comes back pixel by pixel."""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from PIL import ImageColor
from pydantic import Field, model_validator

from worldpatch.config import UserError
from worldpatch.generate import media
from worldpatch.generate.ops._files import Document, Guide, Parent
from worldpatch.generate.ops._form import Size, note_size
from worldpatch.generate.ops._known import shown, strength_to_time, touched
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Script
from worldpatch.video.resize import Rule

Mask = Bool[np.ndarray, "t h w"]
Box = tuple[float, float, float, float]


class Params(Size):
    """Which video, which part of it, and what is there afterwards."""

    video: Parent = Field(description="a video or picture file of any size and rate", json_schema_extra={"position": 0})
    prompt: str = Field(default="", description="what it shows afterwards", json_schema_extra={"position": 1})
    mask: Guide | None = Field(default=None, description="a picture or video that is white where to draw")
    box: Box | None = Field(default=None, description="left, top, width, height as shares of the picture")
    track: Document | None = Field(
        default=None, description="a JSON file [[seconds, left, top, width, height], ...] of a box that moves"
    )
    key: str | None = Field(default=None, description="a colour, such as '#00ff00' or 'lime': draw where it is")
    tolerance: float = Field(default=0.15, ge=0, le=1, description="how far from the colour still counts")
    invert: bool = Field(default=False, description="draw everywhere else instead")
    strength: float = Field(default=1.0, gt=0, le=1, description="below 1 the old content shows through")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")

    @model_validator(mode="after")
    def one_mask(self) -> "Params":
        given = [name for name in ("mask", "box", "track", "key") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'nothing'} says where to draw; give one of mask, box, track, key"
            )
        return self


def plan(params: Params, pipeline: Pipeline) -> Script:
    """Latents that the mask touches are unknown, all others context. Raises UserError on masks that hold nothing."""
    height, width = params.sides(pipeline, like=media.size_of(params.video))
    rate = pipeline.usual.rate
    frames = media.film(params.video, rate, height, width, params.fit)
    mask = _mask(params, frames, rate) ^ params.invert
    if not mask.any():
        raise UserError("the mask is empty: there is nothing to draw; choose a larger part, or invert it")
    return painted(frames, mask, params.prompt, params.strength, pipeline)


def painted(frames: media.Frames, mask: Mask, prompt: str, strength: float, pipeline: Pipeline) -> Script:
    """The frames with what is in the mask drawn anew."""
    full, filled = media.fill(frames, pipeline.spec.stride_t)
    note_size(pipeline, len(full), *full.shape[1:3])
    whole = np.concatenate([mask, np.repeat(mask[-1:], filled, 0)])
    known = media.encode(full, pipeline)
    time = strength_to_time(strength, known.shape, pipeline)
    start = time * touched(torch.from_numpy(whole), pipeline.spec)
    made = Plan(
        start=start, rate=pipeline.usual.rate, prompt=prompt, known=known, paste=media.paste(full, ~whole, 0, len(full))
    )
    return shown(made, len(frames))


def _mask(params: Params, frames: media.Frames, rate: float) -> Mask:
    t, h, w, _ = frames.shape
    if params.mask is not None:
        return media.mask(params.mask, t, h, w)
    if params.key is not None:
        return _keyed(frames, params.key, params.tolerance)
    if params.box is not None:
        return _boxes(np.tile(np.array(params.box), (t, 1)), h, w)
    return _boxes(_track(Path(str(params.track)), np.arange(t) / rate), h, w)


def _keyed(frames: media.Frames, colour: str, tolerance: float) -> Mask:
    try:
        wanted = np.array(ImageColor.getrgb(colour)[:3], float)
    except ValueError as error:
        raise UserError(f"colour {colour!r} is unknown: give a name such as lime, or #00ff00") from error
    return np.linalg.norm(frames - wanted, axis=-1) <= tolerance * np.linalg.norm([255] * 3)


def _boxes(boxes: np.ndarray, height: int, width: int) -> Mask:
    """One box (left, top, width, height in shares) per frame -> mask."""
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    left, top, wide, high = boxes.T[..., None]
    across, down = (left <= x) & (x < left + wide), (top <= y) & (y < top + high)
    return down[:, :, None] & across[:, None, :]


def _track(path: Path, times: np.ndarray) -> np.ndarray:
    """Boxes at these seconds, between the points of a track."""
    try:
        points = np.array(json.loads(path.read_text()), float)
        if points.ndim != 2 or points.shape[1] != 5 or (np.diff(points[:, 0]) <= 0).any():
            raise ValueError("seconds must grow, and each point has five numbers")
    except (OSError, ValueError) as error:
        raise UserError(f"track {path}: {error}; write [[seconds, left, top, width, height], ...] as JSON") from error
    return np.stack([np.interp(times, points[:, 0], points[:, k]) for k in range(1, 5)], 1)
