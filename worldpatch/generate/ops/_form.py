"""Size and length of what is to be made, as every ability asks for them."""

import heapq
import logging

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worldpatch.config import UserError
from worldpatch.generate.pipeline import Pipeline

log = logging.getLogger(__name__)

LONGEST_SIDE = 2048  # pixels
STEEPEST = 2.0  # the longer side over the shorter


class Strict(BaseModel):
    """Parameters of an ability: unknown names and numbers that are none are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def whole(self) -> "Strict":
        """The same, with what a file of parameters says in its place: all other files are then named here."""
        return self


class Size(Strict):
    """Width and height in pixels."""

    width: int | None = Field(
        default=None, gt=0, le=LONGEST_SIDE, description="pixels, a multiple of the model's patch"
    )
    height: int | None = Field(
        default=None, gt=0, le=LONGEST_SIDE, description="pixels, a multiple of the model's patch"
    )

    def sides(self, pipeline: Pipeline, like: tuple[int, int] | None = None) -> tuple[int, int]:
        """(height, width). What is left out follows from the other side in the proportion of `like`, a picture's
        (height, width), or of the model's usual clip; with both left out it has about the usual number of pixels.

        Raises UserError that offers the nearest sizes.
        """
        usual, side = pipeline.usual, pipeline.side
        h, w = like or (usual.height, usual.width)
        h, w = (h, w) if max(h, w) <= STEEPEST * min(h, w) else (1, 2) if w > h else (2, 1)
        height, width = self.height, self.width
        if height is width is None:
            scale = (usual.height * usual.width / (h * w)) ** 0.5
            return _round(h * scale, side), _round(w * scale, side)
        height = _round(width * h / w, side) if height is None and width is not None else height
        width = _round(height * w / h, side) if width is None and height is not None else width
        assert height is not None and width is not None
        near = " and ".join(f"{w}x{h}" for h, w in nearest(height, width, side))
        if max(height, width) > STEEPEST * min(height, width):
            raise UserError(f"{width}x{height} is beyond the aspects 1:2 to 2:1; the nearest sizes are {near}")
        if height % side or width % side:
            raise UserError(
                f"{width}x{height} is off the grid: sides are multiples of {side}; the nearest sizes are {near}"
            )
        return height, width


class Form(Size):
    """Size, length and rate. What is left out is as in the clips the model was trained on."""

    seconds: float | None = Field(default=None, gt=0, le=600, description="length of the video; or give frames")
    frames: int | None = Field(
        default=None, gt=0, le=14400, description="length of the video, 1 for an image; or give seconds"
    )
    fps: float | None = Field(default=None, ge=1, le=60, description="frames per second")

    @model_validator(mode="after")
    def one_length(self) -> "Form":
        if self.seconds is not None and self.frames is not None:
            raise ValueError(f"{self.seconds} seconds and {self.frames} frames are two lengths; give one of them")
        return self

    def rate(self, pipeline: Pipeline) -> float:
        return self.fps or pipeline.usual.rate

    def length(self, pipeline: Pipeline) -> int:
        """Frames, rounded to what the autoencoder can hold: the first one and whole groups after it."""
        usual, stride, rate = pipeline.usual, pipeline.spec.stride_t, self.rate(pipeline)
        seconds = usual.frames / usual.rate if self.seconds is None else self.seconds
        wished = self.frames or max(1, round(seconds * rate))
        frames = pipeline.spec.frames(1 + round((wished - 1) / stride))
        if frames != wished and (self.frames or self.seconds):
            log.warning(
                f"{wished} frames are no 1 + {stride}k: making {frames}, {frames / rate:.3g} s at {rate:g} per second"
            )
        return frames


def note_size(pipeline: Pipeline, frames: int, height: int, width: int) -> None:
    """Say where a plan asks for more than the model knows."""
    usual = pipeline.usual
    if frames > usual.frames or height * width > usual.height * usual.width:
        log.warning(
            f"{width}x{height} with {frames} frames is more than this model was mostly trained on "
            f"({usual.width}x{usual.height} with {usual.frames}): expect it to be worse"
        )


def note_unseen(pipeline: Pipeline, share: str, what: str) -> None:
    """Say where a model was never trained on what it is given: `share` names the option of its training."""
    record = pipeline.record or {}
    runs = [run.get("run", {}) for run in (record.get("training", {}), *record.get("earlier", []))]
    if not any(run.get("options", {}).get(share) for run in runs):
        log.warning(f"this model never saw {what} in training: expect it to pass them over")


def nearest(height: int, width: int, side: int) -> list[tuple[int, int]]:
    """The two allowed sizes (height, width) nearest to a wished one."""
    sides = range(side, LONGEST_SIDE + 1, side)
    allowed = ((h, w) for h in sides for w in sides if max(h, w) <= STEEPEST * min(h, w))
    return heapq.nsmallest(2, allowed, key=lambda size: abs(size[0] - height) + abs(size[1] - width))


def _round(length: float, side: int) -> int:
    return max(side, round(length / side) * side)
