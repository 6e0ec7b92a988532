"""Physics-IQ (Motamed et al. 2025, arXiv 2501.09038): does it happen where, when, how much and how it happened?

Two real takes of a scene say how much reality itself varies; a generated clip that agrees with the first take as well
as the second does scores 100. The camera must stand still. The definitions follow the published code
(github.com/google-deepmind/physics-IQ-benchmark, February 2025: binary_mask_generator.py,
calculate_and_write_metrics_to_csv.py, calculate_iq_score.py), save that masks are not stored as lossy video on the way.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from worldpatch.config import UserError
from worldpatch.evals.metrics._luma import luma
from worldpatch.evals.metrics._result import Frames, Kind, Result, check_pairs, perturb

HIGHER_IS_BETTER = True
REFERENCE: Kind = "takes"
SIDE = 5  # pixels, of the gaussian before and of the squares that open and close a mask
MEMORY = 0.3  # share of the present frame in the running background
MOVED = 10  # grey levels


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How one clip agrees with another. The first three are 1 for equal motion, `error` is 0 for equal frames."""

    spatial: float  # where: IoU of the places that ever moved
    spatiotemporal: float  # where and when: mean over frames of the frames' IoU
    weighted: float  # where and how much: overlap of the shares of time in which each place moved
    error: float  # how: mean squared error of the frames in [0, 1]


def score(generated: Sequence[Frames], reference: Sequence[Sequence[Frames]], shrink: int = 1) -> Result:
    """The score, 0 to 100, of clips against pairs of real takes, all three of one shape.

    `value` is `combined` of means over all clips, as published, hence not the mean of `per_clip`. The floor is that of
    first takes with noise. Masks are made at full size; `shrink` then divides the sides of masks and frames. The
    published protocol shrinks 3840x2160 by 4 and takes the 5 s that follow the given frames.
    """
    if not all(isinstance(takes, tuple | list) and len(takes) == 2 for takes in reference):
        raise UserError("each reference of physics_iq is a pair (first take, second take): film every scene twice")
    for take in (0, 1):
        check_pairs(generated, [takes[take] for takes in reference])
    if shrink < 1 or min(min(g.shape[1:3]) for g in generated) < shrink:
        raise UserError(f"frames cannot be shrunk by {shrink}: choose a factor from 1 to their shorter side")
    rows = [_compared(g, takes, shrink) for g, takes in zip(generated, reference, strict=True)]
    clips, noisy, variance = (average(column) for column in zip(*rows, strict=True))
    return Result(
        value=combined(clips, variance),
        per_clip=tuple(combined(clip, real) for clip, _, real in rows),
        floor=combined(noisy, variance),
    )


def _compared(clip: Frames, takes: Sequence[Frames], shrink: int) -> tuple[Agreement, Agreement, Agreement]:
    """The first take beside the clip, beside itself with noise, and beside the second take."""
    first = _seen(takes[0], shrink)
    others = (clip, perturb(takes[0]), takes[1])
    against_clip, against_noise, against_second = (agreement(*_seen(other, shrink), *first) for other in others)
    return against_clip, against_noise, against_second


def combined(clips: Agreement, variance: Agreement) -> float:
    """0 to 100: the mean of the three overlaps, each over that of two real takes, less the error beyond theirs.

    Where two real takes do not overlap at all, no overlap is asked for: the ratio counts 1.
    """
    pairs = zip(astuple(clips)[:3], astuple(variance)[:3], strict=True)
    overlap = float(np.mean([clip / real if real else 1.0 for clip, real in pairs]))
    return 100 * min(1.0, max(0.0, overlap - (clips.error - variance.error)))


def average(agreements: Sequence[Agreement]) -> Agreement:
    """Each figure's mean."""
    spatial, spatiotemporal, weighted, error = np.mean([astuple(a) for a in agreements], axis=0).tolist()
    return Agreement(spatial=spatial, spatiotemporal=spatiotemporal, weighted=weighted, error=error)


def agreement(
    masks: Bool[np.ndarray, "t h w"],
    frames: Float[np.ndarray, "t h w 3"],
    other_masks: Bool[np.ndarray, "t h w"],
    other_frames: Float[np.ndarray, "t h w 3"],
) -> Agreement:
    """All four figures of two clips with their motion masks."""
    return Agreement(
        spatial=spatial_iou(masks, other_masks),
        spatiotemporal=spatiotemporal_iou(masks, other_masks),
        weighted=weighted_spatial_iou(masks, other_masks),
        error=float(np.mean((frames - other_frames) ** 2, dtype=np.float64)),
    )


def spatial_iou(a: Bool[np.ndarray, "t h w"], b: Bool[np.ndarray, "t h w"]) -> float:
    """Intersection over union of the places that ever moved; 1 where nothing did in either."""
    return _iou(a.max(0), b.max(0))


def spatiotemporal_iou(a: Bool[np.ndarray, "t h w"], b: Bool[np.ndarray, "t h w"]) -> float:
    """Mean over frames of intersection over union; a frame in which nothing moves in either counts 1."""
    return float(np.mean([_iou(x, y) for x, y in zip(a, b, strict=True)]))


def weighted_spatial_iou(a: Bool[np.ndarray, "t h w"], b: Bool[np.ndarray, "t h w"]) -> float:
    """Sum of the smaller over sum of the larger share of time in which each place moved; 1 where nothing did."""
    share_a, share_b = a.mean(0), b.mean(0)
    larger = float(np.maximum(share_a, share_b).sum())
    return float(np.minimum(share_a, share_b).sum()) / larger if larger else 1.0


def _iou(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def motion_masks(clip: Frames) -> Bool[np.ndarray, "t h w"]:
    """Where each frame differs from the running mean of the frames so far (itself included); the first has none."""
    square = np.ones((SIDE, SIDE), np.uint8)
    grey = [cv2.GaussianBlur(frame, (SIDE, SIDE), 0) for frame in luma(clip)]
    background = grey[0].astype(np.float64)
    masks = [np.zeros_like(grey[0])]
    for frame in grey[1:]:
        cv2.accumulateWeighted(frame, background, MEMORY)
        moved = (cv2.absdiff(frame, cv2.convertScaleAbs(background)) > MOVED).astype(np.uint8)
        masks.append(cv2.morphologyEx(cv2.morphologyEx(moved, cv2.MORPH_OPEN, square), cv2.MORPH_CLOSE, square))
    return np.stack(masks) > 0


def _seen(clip: Frames, shrink: int) -> tuple[Bool[np.ndarray, "t h w"], Float[np.ndarray, "t h w 3"]]:
    """Masks, and frames in [0, 1], both with sides divided by `shrink`."""
    masks = motion_masks(clip)
    if shrink > 1:
        size = (clip.shape[2] // shrink, clip.shape[1] // shrink)
        masks = np.stack([cv2.resize(255 * mask.astype(np.uint8), size) > 127 for mask in masks])
        clip = np.stack([cv2.resize(frame, size) for frame in clip])
    return masks, clip.astype(np.float32) / 255
