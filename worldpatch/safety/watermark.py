"""An invisible mark of 48 bits: frames and a number in, frames that carry it out, and the number back from any copy.

Quantisation index modulation (Chen and Wornell, 2001) of the spread transform kind. The mean over time of a clip's luma
is projected on secret directions: sums of low sine waves over the inner part of the frame, which a crop leaves whole.
One pattern, the same in every frame so that nothing flickers, moves each projection to the nearest point of one of two
lattices, which one says a bit. So the clip's own content does not disturb the mark; what is left as noise is what a
codec did, and not knowing where the frame was cut: that is found by trying all crops until known bits come out.
"""

import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from worldpatch.config import UserError

Frames = UInt8[np.ndarray, "t h w 3"]
Plane = Float[np.ndarray, "g g"]
Cuts = Float[np.ndarray, "n 4"]  # shares of the height and width cut off: at the top, bottom, left and right
UNCUT = np.zeros((1, 4), np.float32)

BITS = 48
CHECK = 40  # bits that prove it, made from the others and the key
PILOTS = 24  # bits that are always 0, by which cuts are found
COUNT = BITS + CHECK + PILOTS
KEY = 0x776F726C64  # whoever has it can read marks, and make or remove them

LONGEST = 96  # frames from the beginning, whose mean tells the number: nobody has to read a film to its end
SHORTEST, FEWEST = 128, 16  # pixels of the shorter side, and frames: what benchmarks/watermark.py vouches for
GRID = 128  # the mean frame is resampled to so many rows and columns, whatever its aspect
MARGIN = 0.1  # of the frame's height and width, left unmarked at each edge
BAND = (4, 14)  # half waves of the directions over the inner part
STEPS = (1.0, 0.7, 0.5)  # grey levels between points of a lattice: codecs harm small clips more
SIDES = (SHORTEST, 240, 400)  # pixels of the shorter side from which each is used
REACH = 1.1  # times the way to the lattice: codecs take from a tenth to a third of the pattern away
BUSY, BUSIEST = 2.0, 8.0  # the pattern is as strong as the local contrast plus the first, up to the second
NEAR = 0.03  # grey levels that a projection may miss its place by
LEAST_DB = 38.2  # to the unmarked frames; a stronger pattern, as black and white clips need, is made fainter
LEEWAYS = np.arange(0, 0.5, 0.03)  # of a step: how far from the lattice projections are then left

MOST_CUT = 0.12
COARSE, FINE = 0.003, 0.0004  # steps between cuts
ALIKE = 0.01  # height and width are cut by the same share, but for so much
TRIED = 24  # cuts that are looked at closely
FLIPS = 10  # the least certain bits, all of whose values are tried
FLIPPED = np.array(list(itertools.product((False, True), repeat=FLIPS)))


@dataclass(frozen=True, kw_only=True)
class Found:
    """A number that was found in a clip. `fit` says how well its bits lie on their lattices, from 0 (as chance would
    have it) to 1 (nothing was done to the clip). That it is there at all is certain to 1e-6 at any fit."""

    id: int
    fit: float


def fits(frames: int, height: int, width: int) -> bool:
    """Whether a clip of so many frames of this size can be marked."""
    return frames >= FEWEST and min(height, width) >= SHORTEST


def mark(frames: Frames, id: int, key: int = KEY) -> Frames:
    """The same frames with `id` in them, at least 38 dB from those given.

    Raises UserError for a clip that `fits` refuses, and for a number that is not one of 48 bits.
    """
    t, h, w, _ = frames.shape
    if not fits(t, h, w):
        raise UserError(
            f"{t} frames of {h}x{w} cannot be watermarked; give {FEWEST} frames or more "
            f"whose shorter side has {SHORTEST} pixels or more, or enlarge them first"
        )
    marker, marked = Marker(_mean(frames), frames[looked_at(t, h, w)], id, key), frames.copy()
    for frame in marked:
        marker.put(frame)
    return marked


def looked_at(count: int, height: int, width: int) -> list[int]:
    """Which frames of a clip a `Marker` wants to see."""
    few = max(1, min(6, 1_500_000 // (height * width)))
    return [round(at) for at in np.linspace(0, min(count, LONGEST) - 1, few)]


class Marker:
    """Puts a number into the frames of a clip, into all of them alike: so they can be marked one by one.

    It is made of the mean of the first `LONGEST` frames, in pixels from 0 to 255, and of the `few` that `looked_at`
    names. Raises UserError for a number that is not one of 48 bits.
    """

    def __init__(self, mean: Float[np.ndarray, "h w 3"], few: Frames, id: int, key: int = KEY):
        if not 0 <= id < 2**BITS:
            raise UserError(f"{id} cannot be a watermark; give a whole number from 0 to 2**{BITS} - 1")
        self._field, self._grain = _field(mean, few, id, key)
        self._patterns: dict[tuple[float, int], tuple[np.ndarray, np.ndarray]] = {}

    def put(self, plane: UInt8[np.ndarray, "h w *c"], levels: float = 1.0) -> None:
        """Marks a frame in its place: its pixels, or its luma, of which a grey level takes so many `levels`."""
        kind = levels, plane.ndim
        if kind not in self._patterns:
            pattern = _whole(levels * self._field, self._grain)
            pattern = pattern[..., None].repeat(3, 2) if plane.ndim == 3 else pattern
            self._patterns[kind] = np.maximum(pattern, 0).astype(np.uint8), np.maximum(-pattern, 0).astype(np.uint8)
        rise, fall = self._patterns[kind]
        plane += np.minimum(rise, ~plane)
        plane -= np.minimum(fall, plane)


def find(frames: Iterable[UInt8[np.ndarray, "h w 3"]], key: int = KEY) -> Found | None:
    """The number that `mark` put into these frames, or into those that they are a coded, scaled or cut copy of. No more
    than `LONGEST` are asked for."""
    plane, codes = _grid(_mean(frames)), [_code(key, step) for step in STEPS]
    for code, cuts in itertools.chain(((code, UNCUT) for code in codes), _places(plane, codes)):
        projected = code.project(plane, cuts)
        if (id := code.read(projected[0])) is not None:
            return Found(id=id, fit=float(code.fit(projected)[0]))
    return None


# ------------------------------------------------------------------------------------------------------------- the code


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a key and a step stand for: directions by their waves, down and across, and where their lattices begin."""

    key: bytes
    step: float
    directions: Float[np.ndarray, "bits k k"]
    offset: Float[np.ndarray, " bits"]  # in steps

    def word(self, id: int) -> UInt8[np.ndarray, " bits"]:
        raw = id.to_bytes(BITS // 8, "big")
        return np.unpackbits(np.frombuffer(raw + self._proof(raw) + bytes(PILOTS // 8), np.uint8))

    def project(self, plane: Plane, cuts: Cuts) -> Float[np.ndarray, "n bits"]:
        """Projections, in steps from where their lattices begin, of the frame that was cut so to give this plane."""
        waves = np.einsum("nky,yx,nlx->nkl", _waves(cuts[:, :2]), plane, _waves(cuts[:, 2:]), optimize=True)
        return waves.reshape(len(cuts), -1) @ self.directions.reshape(COUNT, -1).T / self.step - self.offset

    def fit(self, projected: Float[np.ndarray, "n bits"]) -> Float[np.ndarray, " n"]:
        """1 where all lie on lattices, pilots on the first one and the others on either; 0 is the mean of chance."""
        turns = 2 * np.pi * projected
        return np.concatenate([np.cos(2 * turns[:, :-PILOTS]), np.cos(turns[:, -PILOTS:])], 1).mean(1)

    def read(self, projected: Float[np.ndarray, " bits"]) -> int | None:
        """The number, if its proof holds once the least certain bits are chosen well (Chase, 1972)."""
        certain = np.cos(2 * np.pi * projected[:-PILOTS])
        words = np.repeat(certain[None] < 0, len(FLIPPED), axis=0)
        words[:, np.argsort(np.abs(certain))[:FLIPS]] ^= FLIPPED
        for raw in map(bytes, np.packbits(words, axis=1)):
            if self._proof(raw[: BITS // 8]) == raw[BITS // 8 :]:
                return int.from_bytes(raw[: BITS // 8], "big")
        return None

    def _proof(self, raw: bytes) -> bytes:
        return hashlib.blake2b(raw, digest_size=CHECK // 8, key=self.key).digest()


@functools.lru_cache(len(STEPS))
def _code(key: int, step: float) -> Code:
    rng = np.random.default_rng(key)
    k = np.arange(1, BAND[1] + 1)
    length = np.hypot(k[:, None], k)
    down, across = np.nonzero((BAND[0] <= length) & (length <= BAND[1]))
    directions = np.zeros((COUNT, len(k), len(k)), np.float32)
    directions[:, down, across] = np.linalg.qr(rng.standard_normal((len(down), COUNT)))[0].T
    offset = rng.random(COUNT).astype(np.float32)
    return Code(key=key.to_bytes(8, "big"), step=step, directions=directions, offset=offset)


def _waves(cut: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n k g"]:
    """Sine waves over the inner part of an axis of which the shares `cut` are missing at its ends, to sum with."""
    first, left = cut[:, :1], 1 - cut.sum(1, keepdims=True)
    middles = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    inner = np.clip((first + left * middles - MARGIN) / (1 - 2 * MARGIN), 0, 1)
    k = np.arange(1, BAND[1] + 1, dtype=np.float32)[:, None]
    weight = left * np.sqrt(2) / (1 - 2 * MARGIN) / GRID
    return (weight[:, None] * np.sin(np.pi * k * inner[:, None])).astype(np.float32)


# ------------------------------------------------------------------------------------------------------------- to mark


def _field(
    mean: Float[np.ndarray, "h w 3"], few: Frames, id: int, key: int
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """What is to be added to every frame, in grey levels, and the grain with which it is made whole (`_whole`)."""
    h, w = mean.shape[:2]
    plane, waves = _grid(mean), _waves(UNCUT[:, :2])[0]
    inner = np.einsum("bkl,ky,lx->byx", _code(key, STEPS[0]).directions, waves, waves, optimize=True)
    inner = inner.reshape(COUNT, -1)
    grain = np.random.default_rng(key).random((h, w), dtype=np.float32)
    busy = _busy(few)
    even = np.ones_like(busy)
    usual = STEPS[np.searchsorted(SIDES, min(h, w), "right") - 1]
    ways = [(usual, busy, 0.0), (usual, even, 0.0), *((min(usual, STEPS[1]), even, leeway) for leeway in LEEWAYS)]

    def drawn(step: float, strength: Plane, leeway: float) -> Float[np.ndarray, "h w"]:
        code = _code(key, step)
        off = code.project(plane, UNCUT)[0] - code.word(id) / 2
        off -= np.round(off)
        need = -np.sign(off) * np.maximum(np.abs(off) - leeway, 0) * step * REACH
        return _solve(few, inner, need, strength, grain)

    return next(f for f in (drawn(*way) for way in ways) if _decibels(few, _whole(f, grain)) >= LEAST_DB), grain


def _whole(field: Float[np.ndarray, "h w"], grain: Float[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Whole levels, on average those of the field: faint slopes do not become steps."""
    return np.floor(field + grain).astype(np.int16)


def _solve(
    few: Frames, inner: np.ndarray, need: np.ndarray, strength: Plane, grain: np.ndarray
) -> Float[np.ndarray, "h w"]:
    """The weakest field, weighed by `strength`, that moves projections by `need` although pixels end at 0 and 255."""
    weighed = inner * strength.ravel() ** 2
    inverse = np.linalg.inv(weighed @ inner.T)
    h, w = grain.shape
    down, across = _enlarge(h), _enlarge(w)
    asked, before = need.copy(), _grid(_mean(few))
    for _ in range(8):
        smooth = ((inverse @ asked) @ weighed).reshape(GRID, GRID)
        field = down @ smooth.astype(np.float32) @ across.T
        missed = need - inner @ (_grid(_mean(_added(few, _whole(field, grain)))) - before).ravel()
        if np.abs(missed).max() < NEAR:
            break
        asked += missed
    return field


def _added(frames: Frames, pattern: Int[np.ndarray, "h w"]) -> Frames:
    return np.clip(frames + pattern[..., None], 0, 255).astype(np.uint8)


def _decibels(frames: Frames, pattern: Int[np.ndarray, "h w"]) -> float:
    moved = _added(frames, pattern).astype(np.float32) - frames
    return float(10 * np.log10(255**2 / np.mean(moved**2)))


def _busy(frames: Frames) -> Plane:
    """Where the eye is distracted: the local contrast of the frames, in grey levels, but for a constant."""
    planes = [_grid(_mean(frame[None])) for frame in frames]
    variance = np.mean([_blur((plane - _blur(plane, 4.0)) ** 2, 4.0) for plane in planes], axis=0)
    busy = _blur(np.minimum(BUSY + np.sqrt(variance), BUSIEST), 3.0)
    return busy / np.sqrt(np.mean(busy**2))


def _blur(plane: Plane, sigma: float) -> Plane:
    distance = np.subtract.outer(np.arange(GRID), np.arange(GRID))
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return weights @ plane @ weights.T


# --------------------------------------------------------------------------------------------------------------- planes


def _mean(frames: Iterable[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "h w 3"]:
    """Over time, of the first `LONGEST`."""
    frames = itertools.islice(frames, LONGEST)
    total, count = next(frames).astype(np.uint32), 1
    for frame in frames:
        total += frame
        count += 1
    return total.astype(np.float32) / count


def _grid(mean: Float[np.ndarray, "h w 3"]) -> Plane:
    """Luma, averaged over the cells of the grid."""
    luma = mean @ np.array([0.299, 0.587, 0.114], np.float32)
    return _cells(luma.shape[0]) @ luma @ _cells(luma.shape[1]).T


def _cells(length: int) -> Float[np.ndarray, "g length"]:
    """Averages over the cells that divide `length` pixels evenly."""
    edges, pixels = np.arange(GRID + 1) * length / GRID, np.arange(length)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(shared, 0) * GRID / length).astype(np.float32)


def _enlarge(length: int) -> Float[np.ndarray, "length g"]:
    """Linear interpolation between the middles of the cells."""
    at = np.clip((np.arange(length) + 0.5) * GRID / length - 0.5, 0, GRID - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(GRID))).astype(np.float32)


# -------------------------------------------------------------------------------------------------------------- to find


def _places(plane: Plane, codes: Sequence[Code]) -> Iterator[tuple[Code, Cuts]]:
    """Cuts that may have been made, one by one, for each code the likeliest first."""
    steps = round(MOST_CUT / COARSE)
    cut = np.array([(i, j) for i in range(steps + 1) for j in range(steps + 1 - i)])
    cut = cut[np.argsort(cut.sum(1), kind="stable")].astype(np.float32) * np.float32(COARSE)
    pilots, pairs = _pilots(plane, codes[0].directions[-PILOTS:], cut)
    for code in codes:
        fits = np.cos(2 * np.pi * (pilots / code.step - code.offset[-PILOTS:])).sum(1)
        best = pairs[np.argsort(fits)[::-1][:TRIED]]
        cuts = _closer(plane, code, np.concatenate([cut[best[:, 0]], cut[best[:, 1]]], axis=1))
        yield from ((code, cuts[i : i + 1]) for i in range(TRIED))


def _pilots(
    plane: Plane, directions: Float[np.ndarray, "bits k k"], cut: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "m bits"], Int[np.ndarray, "m 2"]]:
    """Projections, in grey levels, for all pairs of a cut of the height and a like one of the width; and the pairs.

    `cut` is in the order of what is cut off in all, so that the cuts which are like one lie side by side.
    """
    waves, whole = _waves(cut), cut.sum(1)
    across = (waves.reshape(-1, GRID) @ plane.T).reshape(len(cut), -1)
    turned = directions.transpose(0, 2, 1).reshape(-1, directions.shape[1])
    first, last = np.searchsorted(whole, whole - ALIKE), np.searchsorted(whole, whole + ALIKE)
    pilots = [
        across[a:b] @ (turned @ down).reshape(len(directions), -1).T
        for down, a, b in zip(waves, first, last, strict=True)
    ]
    pairs = [
        np.stack([np.full(b - a, i), np.arange(a, b)], 1) for i, (a, b) in enumerate(zip(first, last, strict=True))
    ]
    return np.concatenate(pilots), np.concatenate(pairs)


def _closer(plane: Plane, code: Code, cuts: Cuts) -> Cuts:
    """Each of these cuts, walked to where the whole word fits best, and the best first."""
    around = np.concatenate([UNCUT, np.eye(4), -np.eye(4)]).astype(np.float32)
    step = COARSE / 2
    while True:
        tried = (cuts[:, None] + np.float32(step) * around).reshape(-1, 4)
        fits = code.fit(code.project(plane, tried)).reshape(len(cuts), -1)
        better = fits.argmax(1)
        cuts = cuts + np.float32(step) * around[better]
        if not better.any():
            step /= 2
        if step < FINE:
            return cuts[np.argsort(fits.max(1))[::-1]]
