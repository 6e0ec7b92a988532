"""The alphabet of axes and the records that cross borders between rooms.

Axes, everywhere in the project:

    b batch    c channels    t time (frames or latent frames)    h height    w width
    n tokens   m text tokens d width of a network                u distinct noise times
    k objects

Convention of noise (rectified flow, Liu et al. 2022, as in SD3, FLUX and Wan):

    x_t = (1 - t) * x_0 + t * noise      velocity v = noise - x_0      t = 0 clean, t = 1 pure noise

Records are frozen and keyword-only: a tuple of five tensors has 120 orders, a record has one.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

HINTS = 21
Hints = Float[Tensor, "n 21"]
"""Per-token features: a ray (6) and whether there is a camera, what passes by (5), the kind of likeness wanted (2), how
the camera has moved (7)."""

Kind = Literal["clip", "continuation", "image", "padding"]
"""How a latent grid begins: with the autoencoder's single first frame, in the middle of a stream, or a lone frame.
"padding" is no picture: it fills a packed sequence up to a fixed length."""


# ----------------------------------------------------------------------------------------------- frames and their truth


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera per frame.

    `intrinsics` are (fx, fy, cx, cy) in pixels of the frame. `pose` is camera-to-world in OpenCV axes: x right, y down,
    z forward, metres.
    """

    intrinsics: Float[np.ndarray, "t 4"]
    pose: Float[np.ndarray, "t 4 4"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened: `kind` ("fall", "collide", ...), `time` in seconds, indices of the solids involved."""

    kind: str
    time: float
    objects: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a simulator knows about its own clip.

    `objects` holds one plain dict per solid ("shape", "colour", "size", ...). `pose` is position and unit quaternion
    (w x y z), `velocity` linear then angular, in metres, seconds and world axes. `masks` is 0 for background and k + 1
    where solid k is seen. `visibility` is the visible share of each solid's silhouette, 0 to 1. `contacts` lists
    (frame, object, other) with other = -1 for the stage.
    """

    objects: tuple[dict[str, Any], ...]
    events: tuple[Event, ...]
    pose: Float[np.ndarray, "t k 7"]
    velocity: Float[np.ndarray, "t k 6"]
    contacts: tuple[tuple[int, int, int], ...] = ()
    masks: UInt8[np.ndarray, "t h w"] | None = None
    visibility: Float[np.ndarray, "t k"] | None = None
    scene: dict[str, Any] = field(
        default_factory=dict
    )  # camera move, look, floor, cut frames: everything the captions name

    def places(self) -> Float[np.ndarray, "t k 2"]:
        """The middle (x, y) in pixels of what is seen of each solid, per frame; NaN where that is less than half."""
        assert self.masks is not None and self.visibility is not None
        seen = self.masks[..., None] == np.arange(1, len(self.objects) + 1, dtype=np.uint8)  # (t, h, w, k)
        area = seen.sum((1, 2)).astype(np.float32)
        middle = np.full((*area.shape, 2), np.nan, np.float32)
        for axis, place in ((2, 0), (1, 1)):  # along x, then along y
            along = np.arange(seen.shape[axis]) + 0.5
            sums = np.tensordot(along, seen.sum(3 - axis), (0, 1))
            np.divide(sums, area, out=middle[..., place], where=area > 0, casting="unsafe")
        middle[self.visibility < 0.5] = np.nan
        return middle


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Frames with all that is known about them. One frame is an image; there is no other image type."""

    frames: UInt8[np.ndarray, "t h w 3"]
    rate: float  # frames per second
    captions: dict[str, str] = field(default_factory=dict)  # style ("terse", "dense", "typed") -> caption
    camera: Camera | None = None
    truth: Truth | None = None
    seed: int | None = None
    source: str = ""
    licence: str = ""


# -------------------------------------------------------------------------------------------------------------- latents


@dataclass(frozen=True, kw_only=True)
class LatentSpec:
    """The geometry and scale of an autoencoder's latents: all that other rooms may know of it.

    Latents leave `encode` normalised to zero mean per channel and unit mean square over all channels; `first_*` (the
    single first frame) and `later_*` (each further group of `stride_t` frames) are what was subtracted and divided by.
    """

    channels: int
    stride_t: int
    stride_s: int
    first_mean: tuple[float, ...]
    first_std: tuple[float, ...]
    later_mean: tuple[float, ...]
    later_std: tuple[float, ...]

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Frames and pixels -> latent grid (t, h, w). Raises ValueError off the grid; `fit` finds the nearest."""
        if frames < 1 or (frames - 1) % self.stride_t or height % self.stride_s or width % self.stride_s:
            raise ValueError(
                f"{frames} frames of {height}x{width} are off the latent grid: frames must be 1 + k*{self.stride_t}, "
                f"sides multiples of {self.stride_s}"
            )
        return 1 + (frames - 1) // self.stride_t, height // self.stride_s, width // self.stride_s

    def frames(self, t: int) -> int:
        """Latent frames of a clip -> video frames."""
        return 1 + (t - 1) * self.stride_t


# ----------------------------------------------------------------------------------------------- packed network input


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A span of patch tokens in a packed sequence.

    `rule` "context": known, clean, attends to its sample's context only. `rule` "noisy": attends to everything in its
    sample. `grid` is the full (t, h, w) grid in patches that the tokens are drawn from (a context segment may hold only
    part of it); `rate` is video frames per second. `sample` numbers the sample the segment belongs to.
    """

    sample: int
    start: int
    stop: int
    grid: tuple[int, int, int]
    rate: float
    kind: Kind = "clip"
    rule: Literal["context", "noisy"] = "noisy"

    @property
    def length(self) -> int:
        return self.stop - self.start


Segments = tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Cond:
    """Conditions of a packed sequence: appended context tokens (text) and per-token features (hints).

    `text` holds the text tokens of all samples one after another, `text_lengths` how many each sample has (0: dropped,
    the unconditional sample). `hints` are those of `flow/hints.py`; None says nothing of any token.
    """

    text: Float[Tensor, "m d"]
    text_lengths: tuple[int, ...]
    hints: Hints | None = None


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One packed sequence of many samples: what a backbone reads.

    `position` is (seconds, latent pixels down from the centre, latent pixels right of the centre). `time` is each
    token's noise time, `hints` what the plan says of it beside its content.
    """

    tokens: Float[Tensor, "n c"]
    position: Float[Tensor, "n 3"]
    time: Float[Tensor, " n"]
    hints: Hints
    segments: Segments

    @property
    def samples(self) -> int:
        return 1 + max(s.sample for s in self.segments)

    @property
    def noisy(self) -> Bool[Tensor, " n"]:
        """Which tokens are predicted: those of noisy segments that are no padding."""
        mask = torch.zeros(len(self.tokens), dtype=torch.bool, device=self.tokens.device)
        for s in self.segments:
            if s.rule == "noisy" and s.kind != "padding":
                mask[s.start : s.stop] = True
        return mask


# ------------------------------------------------------------------------------------------------------ plan and result


Role = Literal["keyframe", "subject", "look"]
UNTOLD = "this object"
"""What prompts call a subject that only a picture tells."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A one-frame latent appended as context: a keyframe at `time` seconds, or a picture of no time (None) whose
    subject, or whose look apart from its subject, is to be that of the video."""

    latent: Float[Tensor, "c h w"]
    time: float | None
    role: Role = "keyframe"

    def __post_init__(self) -> None:
        if (self.time is None) == (self.role == "keyframe"):
            raise ValueError(f"a {self.role} with time {self.time}: keyframes have one, and they alone")


@dataclass(frozen=True, kw_only=True)
class Paste:
    """Pixels that were known from the beginning and replace the decoded ones: mask 1 = take `frames`."""

    frames: Float[Tensor, "c t h w"]
    mask: Float[Tensor, "1 t h w"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A noise map over patches: which latents are known, how noisy each starts, and what conditions them.

    `start` is the noise time each latent starts from: 0 known and clean (becomes context), 1 pure noise, between:
    noised from `known`. `tracks` say where things are in each frame, as (x, y) in pixels, NaN where that is left open.
    Every ability of the project is a function that returns one of these; a Plan gains no flags.
    """

    start: Float[Tensor, "t h w"]
    rate: float
    prompt: str = ""
    kind: Kind = "clip"
    known: Float[Tensor, "c t h w"] | None = None  # read where start < 1
    references: tuple[Reference, ...] = ()
    camera: Camera | None = None
    tracks: Float[np.ndarray, "frames k 2"] | None = None
    paste: Paste | None = None

    @property
    def grid(self) -> tuple[int, int, int]:
        t, h, w = self.start.shape
        return t, h, w


@dataclass(frozen=True, kw_only=True)
class Final:
    """A plan of which all is known, to be decoded, and which of its frames are shown: all groups of an autoencoder
    hold the same number of frames, what a user brings does not."""

    plan: Plan
    start: int = 0
    stop: int | None = None


Shots = tuple[Final, ...]
"""What is shown, one after another."""

Script = Callable[[], Generator[Plan, Tensor, Shots]]
"""Several plans one after another: each is yielded, its latents "c t h w" are sent back, and what is to be shown is
returned. Called once per variant."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for: an ability, its parameters, and how to sample. The same for CLI, Python and HTTP.

    `params` are those of `generate/ops/<ability>.py`. `guidance` 1 means none; its interval and rescale are those of
    `flow.guidance.Guidance`. `variants` are drawn together in one packed pass; each has its own noise, fixed by (seed,
    variant) alone. `step_cache` is the relative error up to which velocities are forecast instead of computed, 0 for
    none; what shares a pass is then forecast together. The sampler "jump" takes few steps, such as 4, of a model that
    has learned them with their guidance, which is then not read (`train/stages/distil.py`). `loras` are adapters of the
    model, FOLDER or FOLDER:SCALE each.
    """

    ability: str
    params: dict[str, Any]
    model: str = "tabletop"
    loras: tuple[str, ...] = ()
    seed: int = 0
    variants: int = 1
    steps: int = 25
    guidance: float = 2.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_rescale: float = 0.0
    sampler: str = "euler"
    step_cache: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """Frames for each variant in uint8, their rate, the latents they come from, and the request that made them."""

    frames: UInt8[Tensor, "b t h w 3"]
    rate: float
    latents: Float[Tensor, "b c _ _ _"]
    request: Request
    seconds: dict[str, float] = field(default_factory=dict)  # wall time per phase


Index = Int[Tensor, " n"]
