"""How the background moves: an affine flow between consecutive frames, fitted where no solid is.

Lucas & Kanade 1981 with an affine warp, coarse to fine, all pairs of frames at once, weighted against outliers.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

SIDES = (16, 32, 64)  # pixels of the longer side, coarse to fine
ROUNDS = (5, 4, 3)  # Gauss-Newton steps at each
TOLERANCE = 0.04  # residual at which a pixel's weight has halved, of full brightness
STIFFNESS = 1e-4  # pulls the flow of a blank background to zero


def affine_flow(
    frames: UInt8[np.ndarray, "t h w 3"], solids: Bool[np.ndarray, "t h w"]
) -> Float[np.ndarray, "t-1 2 3"]:
    """The flow (right, down) = A @ (x, y, 1) from each frame to the next, in half frames per frame.

    x and y run from -1 to 1 across the frame. `solids` is where not to look.
    """
    flow = np.zeros((len(frames) - 1, 2, 3), dtype=np.float64)
    grey = frames @ np.full(3, 1 / (3 * 255), np.float32)  # backgrounds are pale: their colours add nothing
    for side, rounds in zip(SIDES, ROUNDS, strict=True):
        images = ndimage.gaussian_filter(shrink(grey, side), (0, 0.7, 0.7))
        covered = shrink(solids.astype(np.float32), side) > 0
        covered = ndimage.binary_dilation(covered, np.ones((1, 3, 3)))
        free = ~(np.logical_or(covered[:-1], covered[1:]))
        for _ in range(rounds):
            flow = _refine(flow, images[:-1], images[1:], free)
    return flow


def shrink(images: Float[np.ndarray, "t h w"], side: int) -> Float[np.ndarray, "t h2 w2"]:
    """Area-averaged by a whole factor so that the longer side is about `side`, never enlarged."""
    t, h, w = images.shape
    factor = max(1, round(max(h, w) / side))
    h, w = h // factor * factor, w // factor * factor
    return images[:, :h, :w].reshape(t, h // factor, factor, w // factor, factor).mean((2, 4))


def _refine(
    flow: Float[np.ndarray, "n 2 3"],
    before: Float[np.ndarray, "n h w"],
    after: Float[np.ndarray, "n h w"],
    free: Bool[np.ndarray, "n h w"],
) -> Float[np.ndarray, "n 2 3"]:
    """One Gauss-Newton step for every pair of frames."""
    n, h, w = before.shape
    y, x = np.meshgrid(np.linspace(-1, 1, h), np.linspace(-1, 1, w), indexing="ij")
    y, x = y.astype(np.float32), x.astype(np.float32)
    plane = np.stack([x, y, np.ones_like(x)], -1)  # (h, w, 3)
    right, down = (flow.astype(np.float32) @ plane.reshape(-1, 3).T).reshape(n, 2, h, w).swapaxes(0, 1)
    columns = (x + right + 1) / 2 * (w - 1)
    rows = (y + down + 1) / 2 * (h - 1)
    inside = (columns >= 0) & (columns <= w - 1) & (rows >= 0) & (rows <= h - 1) & free
    warped = _bilinear(after, rows, columns)
    residual = warped - before
    slope_y, slope_x = np.gradient((warped + before) / 2, axis=(1, 2))
    slope = np.stack([slope_x * (w - 1) / 2, slope_y * (h - 1) / 2], -1)  # (n, h, w, 2), per half frame
    weight = (inside / (1 + (residual / TOLERANCE) ** 2)).reshape(n, h * w, 1)
    jacobian = (slope[..., :, None] * plane[..., None, :]).reshape(n, h * w, 6)
    weighted = (jacobian * weight).transpose(0, 2, 1)
    normal = weighted @ jacobian + STIFFNESS * h * w * np.eye(6)
    step = np.linalg.solve(normal, weighted @ residual.reshape(n, h * w, 1))
    return flow - step.reshape(n, 2, 3)


def _bilinear(
    images: Float[np.ndarray, "n h w"], rows: Float[np.ndarray, "n h w"], columns: Float[np.ndarray, "n h w"]
) -> Float[np.ndarray, "n h w"]:
    """Images read at fractional places, held at the edges."""
    n, h, w = images.shape
    rows, columns = np.clip(rows, 0, h - 1), np.clip(columns, 0, w - 1)
    top, left = np.minimum(rows.astype(int), h - 2), np.minimum(columns.astype(int), w - 2)
    down, right = rows - top, columns - left
    k = np.arange(n)[:, None, None]
    upper = images[k, top, left] * (1 - right) + images[k, top, left + 1] * right
    lower = images[k, top + 1, left] * (1 - right) + images[k, top + 1, left + 1] * right
    return upper * (1 - down) + lower * down
