"""Camera moves, pinhole geometry, and what the camera sees of solids."""

import numpy as np
from jaxtyping import Float

from worldpatch.types import Camera
from worldpatch.worlds._tabletop.records import Shot, Solid

FOVY = 40.0  # degrees across the shorter side of the frame
DISTANCE = 3.5  # metres
AIM = 0.48  # metres above the floor
DIRECTIONS = 32  # extreme points per silhouette


def fit_fovy(fovy: float, height: int, width: int) -> float:
    """Vertical field of view (degrees) so that the shorter side of the frame spans `fovy`."""
    return float(np.degrees(2 * np.arctan(np.tan(np.radians(fovy) / 2) * max(1.0, height / width))))


def shoot(
    rng: np.random.Generator, move: str, heading: float, frames: int, seconds: float, height: int, width: int
) -> Shot:
    """A camera move of the whole clip, centred on `heading` (degrees) at mid-clip.

    "orbit left" means the camera itself travels to the left around the scene; "pan left" that it turns to the left.
    """
    u = np.linspace(0.0, 1.0, frames) if frames > 1 else np.array([0.5])
    elevation = rng.uniform(-30.0, -24.0)
    distance = DISTANCE * rng.uniform(0.97, 1.05)
    strength = min(1.0, seconds / 2.0) * rng.uniform(0.8, 1.2)
    azimuth, far, fovy = np.full(frames, heading), np.full(frames, distance), np.full(frames, FOVY)
    target = np.tile([0.0, 0.0, AIM], (frames, 1))
    sign = -1.0 if move.endswith(("left", "in")) else 1.0
    if move.startswith("orbit"):
        azimuth = heading + sign * 60.0 * strength * (u - 0.5)
    elif move.startswith("pan"):
        azimuth = heading - sign * 15.0 * strength * (u - 0.5)
        reach = distance * np.cos(np.radians(elevation))
        base = -reach * np.array([np.cos(np.radians(heading)), np.sin(np.radians(heading))])
        target[:, 0] = base[0] + reach * np.cos(np.radians(azimuth))
        target[:, 1] = base[1] + reach * np.sin(np.radians(azimuth))
    elif move.startswith("zoom"):
        fovy = FOVY * np.exp(sign * 0.40 * strength * (u - 0.35 if sign < 0 else u - 0.5))
    elif move.startswith("dolly"):
        far = distance * np.exp(sign * 0.35 * strength * (u - 0.4))
    return Shot(
        move=move,
        azimuth=azimuth,
        elevation=np.full(frames, elevation),
        distance=far,
        target=target,
        fovy=np.array([fit_fovy(f, height, width) for f in fovy]),
    )


def close_up(
    rng: np.random.Generator, shot: Shot, frame: int, subject: Float[np.ndarray, "t 3"], height: int, width: int
) -> Shot:
    """The shot until `frame`; from there a nearer view from another side that follows the subject."""
    later = np.arange(len(shot.azimuth)) >= frame
    turn = rng.choice((-1.0, 1.0)) * rng.uniform(30.0, 50.0)
    return Shot(
        move=shot.move,
        azimuth=np.where(later, shot.azimuth + turn, shot.azimuth),
        elevation=np.where(later, -22.0, shot.elevation),
        distance=np.where(later, 0.62 * shot.distance, shot.distance),
        target=np.where(later[:, None], subject, shot.target),
        fovy=np.where(later, fit_fovy(0.85 * FOVY, height, width), shot.fovy),
    )


def geometry(shot: Shot, height: int, width: int) -> Camera:
    """Intrinsics and camera-to-world pose (OpenCV axes) of every frame of a shot."""
    azimuth, elevation = np.radians(shot.azimuth), np.radians(shot.elevation)
    forward = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    right = np.stack([np.sin(azimuth), -np.cos(azimuth), np.zeros_like(azimuth)], axis=-1)
    pose = np.tile(np.eye(4), (len(azimuth), 1, 1))
    pose[:, :3, 0], pose[:, :3, 1], pose[:, :3, 2] = right, np.cross(forward, right), forward
    pose[:, :3, 3] = shot.target - shot.distance[:, None] * forward
    focal = height / 2 / np.tan(np.radians(shot.fovy) / 2)
    centre = np.ones_like(focal)
    intrinsics = np.stack([focal, focal, centre * width / 2, centre * height / 2], axis=-1)
    return Camera(intrinsics=intrinsics.astype(np.float32), pose=pose.astype(np.float32))


def project(camera: Camera, points: Float[np.ndarray, "t n 3"]) -> tuple[np.ndarray, np.ndarray]:
    """World points -> pixel coordinates "t n 2" (x right, y down, from the corner) and depth "t n" in metres."""
    rotation, origin = camera.pose[:, :3, :3], camera.pose[:, :3, 3]
    local = np.einsum("tij,tni->tnj", rotation, points - origin[:, None])
    depth = np.maximum(local[..., 2], 1e-3)
    return local[..., :2] / depth[..., None] * camera.intrinsics[:, None, :2] + camera.intrinsics[:, None, 2:], depth


def silhouettes(camera: Camera, solids: tuple[Solid, ...], pose: Float[np.ndarray, "t k 7"]) -> np.ndarray:
    """Area in pixels "t k" of each solid's unoccluded outline, parts outside the frame included.

    The outline is the hull of projected surface points, walked through the extreme points of fixed directions.
    """
    angle = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    rays = np.stack([np.cos(angle), np.sin(angle)])
    areas = []
    for k, solid in enumerate(solids):
        world = rotate(pose[:, k, 3:], _surface(solid)) + pose[:, k, None, :3]
        pixels, _ = project(camera, world)
        extreme = np.argmax(pixels @ rays, axis=1)
        outline = np.take_along_axis(pixels, extreme[..., None], axis=1)
        after = np.roll(outline, -1, axis=1)
        areas.append(0.5 * np.abs((outline[..., 0] * after[..., 1] - outline[..., 1] * after[..., 0]).sum(1)))
    return np.stack(areas, axis=1)


def rotate(quaternion: Float[np.ndarray, "t 4"], points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "t n 3"]:
    """Points turned by unit quaternions (w x y z), one rotation per frame."""
    w, axis = quaternion[:, None, :1], quaternion[:, None, 1:]
    points = np.broadcast_to(points, (len(quaternion), *points.shape))
    twice = 2 * np.cross(axis, points)
    return points + w * twice + np.cross(axis, twice)


def _surface(solid: Solid) -> np.ndarray:
    """Points "n 3" whose hull is the solid: corners of a box, rims of a cylinder, a fine ball."""
    if solid.shape == "box":
        return np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.array(solid.size)
    angle = np.arange(32) * 2 * np.pi / 32
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(32)], axis=-1)
    if solid.shape == "cylinder":
        r, h = solid.size
        return np.concatenate([ring * r + [0, 0, h], ring * r - [0, 0, h]])
    tilt = np.linspace(-np.pi / 2, np.pi / 2, 17)
    return np.concatenate([ring * np.cos(a) + [0, 0, np.sin(a)] for a in tilt]) * solid.size[0]
