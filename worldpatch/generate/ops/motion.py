"""Motion: draw where things go. Each path is followed by one thing, which a prompt names or a first picture shows."""

import re
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from pydantic import Field

from worldpatch.config import UserError
from worldpatch.generate.ops._files import Media
from worldpatch.generate.ops._form import Form, note_unseen
from worldpatch.generate.ops.animate import begin
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan
from worldpatch.video.resize import Rule

POINT = re.compile(r"(-?[\d.]+),(-?[\d.]+)(?:@([\d.]+))?")
OUTSIDE = 0.5  # pictures that a path may lie beside the picture


class Params(Form):
    """What the video shows, and the paths of things in it."""

    prompt: str = Field(default="", description="what the video shows", json_schema_extra={"position": 0})
    path: tuple[str, ...] = Field(
        min_length=1,
        description="'X,Y X,Y ...' from the first frame to the last, in widths and heights from the upper left corner; "
        "with X,Y@SECONDS at that time, and nothing is said before the first time and after the last",
    )
    image: Media | None = Field(default=None, description="the first frame: a picture file of any size")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Plan:
    """All noise, or a known first frame, with the tracks. Raises UserError on a path that cannot be read."""
    note_unseen(pipeline, "keep_tracks", "paths")
    made = begin(params, params.prompt, params.image, params.fit, pipeline)
    t, h, w = made.grid
    times = np.arange(pipeline.spec.frames(t)) / made.rate
    size = np.array([w, h]) * pipeline.spec.stride_s
    return replace(made, tracks=np.stack([track(text, times) for text in params.path], 1) * size.astype(np.float32))


def track(text: str, times: np.ndarray) -> Float[np.ndarray, "frames 2"]:
    """A path as (x, y) at each time, straight from point to point; NaN before its first and after its last time."""
    points = [POINT.fullmatch(word) for word in text.split()]
    if not points or None in points:
        raise UserError(f"path {text!r}: write points as X,Y or X,Y@SECONDS, such as '0.2,0.5 0.8,0.5'")
    found = [point.groups() for point in points if point]
    places = np.array([[float(x), float(y)] for x, y, _ in found])
    timed = [when for _, _, when in found if when is not None]
    if timed and len(timed) < len(found):
        raise UserError(f"path {text!r}: give all points a time, or none")
    whens = np.array([float(when) for when in timed]) if timed else np.linspace(0, times[-1], len(found))
    if (np.diff(whens) <= 0).any() or whens[0] > times[-1]:
        raise UserError(f"path {text!r}: times must grow, and begin within the video of {times[-1]:g} s")
    if places.min() < -OUTSIDE or places.max() > 1 + OUTSIDE:
        raise UserError(f"path {text!r} leads too far outside: x and y go from 0 to 1, from one edge to the other")
    line = np.stack([np.interp(times, whens, places[:, axis]) for axis in range(2)], 1)
    if len(found) > 1:
        half = 0.5 * (times[1] - times[0]) if len(times) > 1 else 0.0
        line[(times < whens[0] - half) | (times > whens[-1] + half)] = np.nan
    return line.astype(np.float32)
