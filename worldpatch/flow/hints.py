"""What a plan says of each patch beside its content: the ray of its camera and how that has moved, what is to pass
through the patch, and of a picture that belongs to no moment, whether its subject or its look is wanted. Zero means
that nothing is said."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.types import HINTS, Camera, Hints, Plan, Role

REACH = 2.0  # latent pixels: how far from a track its patches know of it (standard deviation)
FULL = 4.0  # latent pixels that offsets, and motions within one latent frame, are measured in
# What differs from patch to patch is small, and a whisper at the input is learned late (docs/LOG.md: say loudly).
LOUD = 4.0
SCENE = 2.0  # metres that a camera's way is measured in
ROLES = slice(12, 14)  # the features that say which likeness is wanted


def hints(plan: Plan, position: Float[Tensor, "n 3"], stride_t: int, stride_s: int) -> Hints:
    """The per-token features of patches at `position` (seconds, latent pixels down and right of the centre)."""
    found = torch.zeros(len(position), HINTS)
    frame = (position[:, 0] * plan.rate).round().long()
    if plan.camera is not None:
        found[:, :6] = rays(plan.camera, position, frame, stride_s)
        found[:, 6] = 1
        found[:, 14:] = moves(plan.camera)[frame.clamp(0, len(plan.camera.pose) - 1)]
    if plan.tracks is not None:
        size = torch.tensor(plan.grid[1:]) * stride_s
        found[:, 7:12] = nearness(torch.from_numpy(plan.tracks), position, frame, size, stride_t, stride_s)
    return LOUD * found


def likeness(role: Role, count: int) -> Hints:
    """The features of the patches of a picture whose subject or look is wanted."""
    found = torch.zeros(count, HINTS)
    found[:, ROLES.start + (role == "look")] = 1
    return found


def undirected(found: Hints) -> Hints:
    """The same where nothing is said of cameras and paths. What a picture is there for, stays."""
    kept = torch.zeros_like(found)
    kept[:, ROLES] = found[:, ROLES]
    return kept


def rays(camera: Camera, position: Float[Tensor, "n 3"], frame: Tensor, stride_s: int) -> Float[Tensor, "n 6"]:
    """Pluecker coordinates (direction, moment) of each patch's central ray, in the axes of the clip's first camera.

    As in light field networks (Sitzmann et al. 2021) and CameraCtrl (He et al. 2024).
    """
    intrinsics = torch.as_tensor(np.asarray(camera.intrinsics), dtype=torch.float32)
    pose = torch.as_tensor(np.asarray(camera.pose), dtype=torch.float32)
    pose = torch.linalg.inv(pose[:1]) @ pose
    frame = frame.clamp(0, len(pose) - 1)
    fx, fy, cx, cy = intrinsics[frame].unbind(-1)
    # `position` counts latent pixels from the centre; the principal point is given in pixels from the corner.
    centre = intrinsics[0, 2:]
    x = (position[:, 2] * stride_s + centre[0] - cx) / fx
    y = (position[:, 1] * stride_s + centre[1] - cy) / fy
    direction = torch.nn.functional.normalize(torch.stack((x, y, torch.ones_like(x)), -1), dim=-1)
    direction = (pose[frame, :3, :3] @ direction[..., None])[..., 0]
    return torch.cat((direction, torch.linalg.cross(pose[frame, :3, 3], direction)), -1)


def moves(camera: Camera) -> Float[Tensor, "t 7"]:
    """How each frame's camera has turned (rotation vector, radians), gone (`SCENE`s) and zoomed (logarithm) since the
    first: the same for all patches of a frame, and on average over a video the way it goes."""
    pose = torch.as_tensor(np.asarray(camera.pose), dtype=torch.float64)
    pose = torch.linalg.inv(pose[:1]) @ pose
    turn = pose[:, :3, :3]
    cosine = ((turn.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2).clamp(-1, 1)
    angle = torch.arccos(cosine)[:, None]
    axis = torch.stack([turn[:, i, j] - turn[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1) / 2
    focal = torch.as_tensor(np.asarray(camera.intrinsics), dtype=torch.float64)[:, :1]
    return torch.cat(
        (axis / torch.sinc(angle / torch.pi), pose[:, :3, 3] / SCENE, torch.log(focal / focal[:1])), -1
    ).float()


def nearness(
    tracks: Float[Tensor, "t k 2"], position: Float[Tensor, "n 3"], frame: Tensor, size: Tensor, stride_t: int,
    stride_s: int,
) -> Float[Tensor, "n 5"]:  # fmt: skip
    """For each patch, of the track that is nearest to it then: a Gaussian of the distance, and, weighed by it, where
    the track is from here (down, right) and how far it moves within one latent frame. Zero where none is told.

    Drawn paths as dense local hints: DragNUWA (Yin et al. 2023), Motion Prompting (Geng et al. 2024).
    """
    frame = frame.clamp(0, len(tracks) - 1)
    middle = tracks.new_tensor([size[1], size[0]]) / 2
    place = ((tracks - middle) / stride_s).flip(-1)  # (t, k, 2): latent pixels down and right
    after = (frame + stride_t).clamp(max=len(tracks) - 1)
    motion = place[after] - place[(after - stride_t).clamp(min=0)]  # (n, k, 2)
    offset = place[frame] - position[:, None, 1:]
    square = offset.square().sum(-1)
    square = torch.where(square.isnan(), torch.inf, square)
    nearest = square.argmin(1)[:, None, None].expand(-1, 1, 2)
    weight = torch.exp(-square.amin(1) / (2 * REACH**2))[:, None]
    told = torch.cat((offset.gather(1, nearest)[:, 0], motion.gather(1, nearest)[:, 0]), -1) / FULL
    return torch.cat((weight, weight * told.nan_to_num()), -1)
