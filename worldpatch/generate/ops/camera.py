"""Camera: a video seen by a camera that pans, orbits, moves and zooms as asked, or follows a path of your own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field

from worldpatch.config import UserError
from worldpatch.generate.ops._files import Document, Media
from worldpatch.generate.ops._form import Form
from worldpatch.generate.ops.animate import begin
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Camera, Plan
from worldpatch.video.resize import Rule

POINT = "[seconds, right, up, forward, pan, tilt, roll, zoom]"


class Params(Form):
    """What is seen, and how the camera moves from the first frame to the last, evenly. Angles are in degrees."""

    prompt: str = Field(default="", description="what the video shows", json_schema_extra={"position": 0})
    image: Media | None = Field(default=None, description="the first frame: a picture file of any size")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")
    pan: float = Field(default=0.0, ge=-360, le=360, description="degrees turned to the right")
    tilt: float = Field(default=0.0, ge=-90, le=90, description="degrees turned upwards")
    roll: float = Field(default=0.0, ge=-360, le=360, description="degrees turned clockwise")
    orbit: float = Field(default=0.0, ge=-360, le=360, description="degrees travelled to the right around the subject")
    dolly: float = Field(default=0.0, description="metres travelled forwards")
    truck: float = Field(default=0.0, description="metres travelled to the right")
    pedestal: float = Field(default=0.0, description="metres travelled upwards")
    zoom: float = Field(default=1.0, ge=0.1, le=10, description="times as large at the end")
    distance: float = Field(default=3.5, gt=0, description="metres from the camera to the subject at first")
    elevation: float = Field(default=27.0, ge=-90, le=90, description="degrees that the camera looks down at first")
    view: float = Field(default=40.0, ge=5, le=150, description="degrees that the shorter side of the picture spans")
    path: Document | None = Field(default=None, description=f"instead: JSON [{POINT}, ...], as of the first frame")


def plan(params: Params, pipeline: Pipeline) -> Plan:
    """All noise, or a known first frame, with the camera's rays. Raises UserError on a path that cannot be read."""
    made = begin(params, params.prompt, params.image, params.fit, pipeline)
    frames, (height, width) = pipeline.spec.frames(made.grid[0]), (s * pipeline.spec.stride_s for s in made.grid[1:])
    times = np.arange(frames) / made.rate
    moved = _moves(params, frames) if params.path is None else _path(Path(params.path), times)
    return replace(made, camera=_camera(moved, params, height, width))


Points = Float[np.ndarray, "t 7"]
"""Metres right, up and forward, degrees of pan, tilt and roll as seen from the first frame, and the zoom."""


def _moves(params: Params, frames: int) -> Points:
    u = np.linspace(0, 1, frames)[:, None]
    ends = np.array([params.truck, params.pedestal, params.dolly, params.pan, params.tilt, params.roll])
    return np.concatenate([u * ends, params.zoom**u], 1)


def _path(path: Path, times: np.ndarray) -> Points:
    try:
        points = np.array(json.loads(path.read_text()), float)
        if points.ndim != 2 or points.shape[1] != 8 or (np.diff(points[:, 0]) <= 0).any() or points[:, 7].min() <= 0:
            raise ValueError("seconds must grow, zooms be above 0, and each point has eight numbers")
    except (OSError, ValueError) as error:
        raise UserError(f"path {path}: {error}; write [{POINT}, ...] as JSON") from error
    return np.stack([np.interp(times, points[:, 0], points[:, k]) for k in range(1, 8)], 1)


def _camera(points: Points, params: Params, height: int, width: int) -> Camera:
    """Poses in OpenCV axes, relative to the first frame's camera."""
    focal = min(height, width) / 2 / np.tan(np.radians(params.view) / 2) * points[:, 6]
    centre = np.ones_like(focal)
    pose = np.tile(np.eye(4), (len(points), 1, 1))
    right, up, forward, pan, tilt, roll = points[:, :6].T
    # Turned about the world's vertical, then up, then about the line of sight.
    down = np.radians(params.elevation)
    vertical = np.array([0, np.cos(down), np.sin(down)])  # of the world, downwards, as the first camera sees it
    turned = _turn(vertical, pan) @ _turn(np.array([1.0, 0, 0]), tilt) @ _turn(np.array([0, 0, 1.0]), roll)
    around = _turn(vertical, -(np.zeros(len(points)) if params.path else np.linspace(0, params.orbit, len(points))))
    place = np.stack([right, -up, forward], 1)
    subject = np.array([0, 0, params.distance])
    pose[:, :3, :3] = around @ turned
    pose[:, :3, 3] = subject + (around @ (place - subject)[..., None])[..., 0]
    intrinsics = np.stack([focal, focal, centre * width / 2, centre * height / 2], -1)
    return Camera(intrinsics=intrinsics.astype(np.float32), pose=pose.astype(np.float32))


def _turn(axis: Float[np.ndarray, "3"], degrees: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotations about an axis."""
    x, y, z = axis
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(torch.from_numpy(np.radians(degrees))[:, None, None] * cross).numpy()
