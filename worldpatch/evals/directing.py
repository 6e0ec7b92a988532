"""How well an ability did what it was told: seams, things that go on as they were, paths and cameras followed.

Everything is measured on pixels, against what was given or what the world's renders do at the same place.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from worldpatch.evals._segment import blobs, label
from worldpatch.evals.detect import Seen, detect
from worldpatch.evals.metrics import sharpness
from worldpatch.evals.metrics._luma import luma
from worldpatch.evals.metrics.motion import STILL

Frames = UInt8[np.ndarray, "_ h w 3"]
Places = Float[np.ndarray, "_ 2"]


# ---------------------------------------------------------------------------------------------------------------- seams


def jump(frames: Frames, at: int, measure: Callable[[Frames], np.ndarray]) -> float:
    """A change from frame at - 1 to frame at, over the median of all other neighbours'; what is too faint to see is
    added to both."""
    change = measure(frames)
    others = np.delete(change, at - 1)
    return float((change[at - 1] + STILL) / (np.median(others) + STILL))


def changes(frames: Frames) -> Float[np.ndarray, " s"]:
    """Mean absolute change of the pixels from frame to frame, in grey levels."""
    return np.abs(np.diff(frames.astype(np.float32), axis=0)).mean((1, 2, 3))


def lights(frames: Frames) -> Float[np.ndarray, " s"]:
    """Change of the mean brightness from frame to frame, in grey levels."""
    return np.abs(np.diff(frames.astype(np.float32).mean((1, 2, 3))))


def borders(frames: Frames, mask: np.ndarray) -> float:
    """The step of colour across the border of a drawn region (mask "h w" true inside) over that between all other
    neighbours: their medians."""
    pixels, ratios = frames.astype(np.float32), []
    for axis in (1, 2):
        step = np.abs(np.diff(pixels, axis=axis)).mean(-1)
        across = np.diff(mask.astype(np.int8), axis=axis - 1) != 0
        if across.any():
            ratios.append((step[:, across].mean() + STILL) / (step[:, ~across].mean() + STILL))
    return float(np.mean(ratios))


# --------------------------------------------------------------------------------------------------------- what goes on


def places(frames: Frames) -> dict[str, Places]:
    """Where the largest patch of each colour is in each frame, (x, y) in pixels from the corner; NaN where
    there is none."""
    found: dict[str, Places] = {}
    for t, frame in enumerate(label(frames)):
        for blob in sorted(blobs(frame), key=lambda blob: blob.area):
            track = found.setdefault(blob.colour, np.full((len(frames), 2), np.nan))
            track[t] = blob.centre[1] + 0.5, blob.centre[0] + 0.5
    return found


def velocity_break(frames: Frames, at: int) -> float | None:
    """How much the velocity of things changes where frame `at` is the first drawn one, in pixels per frame: the mean
    over all that are seen on both sides; None where nothing is."""
    breaks = []
    for track in places(frames[at - 3 : at + 2]).values():
        before, after = (track[2] - track[0]) / 2, (track[4] - track[2]) / 2
        if np.isfinite(before + after).all():
            breaks.append(float(np.linalg.norm(after - before)))
    return float(np.mean(breaks)) if breaks else None


def identity(given: Seen, drawn: Seen) -> float | None:
    """Share of the given solids that have one of their colour and shape among the drawn; None where none was given."""
    had = [(solid.colour, solid.shape) for solid in given.solids]
    has = [(solid.colour, solid.shape) for solid in drawn.solids]
    return float(np.mean([solid in has for solid in had])) if had else None


def ping_pong(given: Frames, drawn: Frames) -> bool:
    """Whether what was drawn is what was given, backwards: less than half as far from that as from standing still."""
    count = min(len(given) - 1, len(drawn))
    back, still = given[-2 : -2 - count : -1].astype(np.float32), given[-1:].astype(np.float32)
    ahead = drawn[:count].astype(np.float32)
    return bool(np.abs(ahead - back).mean() < 0.5 * np.abs(ahead - still).mean())


def collapse(frames: Frames, rate: float, seconds: float = 5.0) -> dict[str, float]:
    """Statistics of the last seconds over those of the first: 1 where nothing has faded or drifted."""
    count = round(seconds * rate)
    first, last = statistics(frames[:count]), statistics(frames[-count:])
    return {name: last[name] / max(first[name], 1e-6) for name in first}


def drift(frames: Frames, joins: Sequence[int], span: int) -> dict[str, float]:
    """How far each statistic of the `span` frames after a join is from that of those before it, as a share of the 255
    levels of a pixel: the mean over all joins. A join is the first frame of a new window."""
    found = [(statistics(frames[max(0, at - span) : at]), statistics(frames[at : at + span])) for at in joins]
    return {name: float(np.mean([abs(new[name] - old[name]) for old, new in found])) / 255 for name in found[0][0]}


def statistics(frames: Frames) -> dict[str, float]:
    """How sharp, bright, colourful and contrasted frames are, in grey levels."""
    pixels = frames.astype(np.float32)
    saturation = np.mean(pixels.max(-1) - pixels.min(-1))
    return {
        "sharpness": sharpness.amount(luma(frames)), "brightness": float(pixels.mean()),
        "saturation": float(saturation), "contrast": float(pixels.std((1, 2)).mean()),
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------------- what was ordered


def strayed(track: Places, ordered: Places) -> float:
    """Mean distance in pixels between a thing and the path it was to follow, where both are known; infinite where the
    thing is missing in more than a third of the path's frames."""
    wanted = np.isfinite(ordered).all(1)
    both = wanted & np.isfinite(track).all(1)
    if both.sum() < 2 / 3 * wanted.sum():
        return float("inf")
    return float(np.linalg.norm(track[both] - ordered[both], axis=1).mean())


def moved_by(frame: UInt8[np.ndarray, "h w 3"], views: Sequence[UInt8[np.ndarray, "h w 3"]]) -> int:
    """Which of several views of the true scene a drawn frame is most like."""
    differences = [np.abs(frame.astype(np.float32) - view).mean() for view in views]
    return int(np.argmin(differences))


def recoloured(before: Frames, after: Frames, old: str, new: str) -> tuple[bool, float]:
    """(whether the new colour is there and the old one gone, how far the new one strays from the old one's track as a
    share of the width)."""
    seen, tracks, was = detect(after).colours, places(after), places(before)
    there = new in seen and old not in seen
    if new not in tracks or old not in was:
        return False, float("inf")
    return there, strayed(tracks[new], was[old]) / after.shape[2]
