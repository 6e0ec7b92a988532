"""What the metrics that need no weights say of renders that were damaged in known ways, and how long they take.

    python benchmarks/metrics.py [--short] [-o result.md]

Bars: 100 clips of 64 frames of 256x256 are scored by the seven plain metrics in two minutes of one core; every damage
lies beyond the floor of the metric that is there for it.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable, Iterator
from itertools import islice

import cv2
import numpy as np
from _machine import Report, parser

from worldpatch.config import resolve
from worldpatch.evals.metrics import epipolar
from worldpatch.evals.metrics._result import Frames
from worldpatch.worlds import tabletop

PLAIN = ("psnr", "ssim", "edges", "flicker", "motion", "sharpness", "colour_drift")
BAR = 120.0  # seconds of one core, for 100 clips


# -------------------------------------------------------------------------------------------------------------- damages


def blurs(clip: Frames) -> Frames:
    return np.stack([cv2.GaussianBlur(f, (0, 0), 0.1 + 1.5 * i / len(clip)) for i, f in enumerate(clip)])


def shifted(clip: Frames) -> Frames:
    return np.roll(clip, 3, axis=2)


def warms(clip: Frames) -> Frames:
    drift = np.linspace(0, 20, len(clip))[:, None, None, None] * np.array([1, 0, -1])
    return np.clip(clip + drift, 0, 255).astype(np.uint8)


def flickers(clip: Frames) -> Frames:
    return np.clip(clip + 3 * (-1) ** np.arange(len(clip))[:, None, None, None], 0, 255).astype(np.uint8)


def slowed(clip: Frames) -> Frames:
    return clip[np.arange(len(clip)) // 2]


def breathes(clip: Frames, amplitude: float = 0.02) -> Frames:
    """Every frame bent by a smooth field of its own, of at most `amplitude` of the side."""
    rng, side = np.random.default_rng(0), clip.shape[1]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bent = []
    for frame in clip:
        coarse = rng.uniform(-1, 1, (4, 4, 2)).astype(np.float32) * amplitude * side
        field = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        bent.append(
            cv2.remap(frame, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        )
    return np.stack(bent)


DAMAGES: dict[str, tuple[Callable[[Frames], Frames], str]] = {  # and the metric that is there for it
    "blurs towards the end": (blurs, "sharpness"),
    "3 pixels to the right": (shifted, "edges"),
    "grows warm": (warms, "colour_drift"),
    "flickers by 3 grey levels": (flickers, "flicker"),
    "half as fast": (slowed, "motion"),
    "bent anew in every frame": (breathes, "epipolar"),
    "black": (np.zeros_like, "ssim"),
}


# ------------------------------------------------------------------------------------------------------------- measured


def rendered(side: int, level: int, moves: str, count: int) -> Iterator[tuple[bool, Frames]]:
    """Clips with such a camera move: whether all solids stand still, and the frames."""
    config = tabletop.Config(height=side, width=side, frames=32, rate=12.0, level=level, masks=False)
    clips = tabletop.clips(config, 5)
    found = (c for c in clips if c.truth is not None and c.truth.scene["camera"].startswith(moves))
    for clip in islice(found, count):
        assert clip.truth is not None
        yield {event.kind for event in clip.truth.events} <= {"stand"}, clip.frames


def speed(report: Report) -> float:
    """Seconds of one core that a clip takes with all plain metrics; a table of each one's."""
    frames, side, count = (8, 64, 2) if report.short else (64, 256, 5)
    rng = np.random.default_rng(0)
    real = []
    for _ in range(count):
        rough = cv2.GaussianBlur(rng.integers(0, 256, (side, 3 * side, 3)).astype(np.uint8), (0, 0), 3)
        board = cv2.normalize(rough, rough, 0, 255, cv2.NORM_MINMAX)
        real.append(np.stack([board[:, 2 * t : 2 * t + side] for t in range(frames)]))
    made = [np.clip(clip + rng.integers(-6, 7, clip.shape[1:]), 0, 255).astype(np.uint8) for clip in real]
    rows, total = [], 0.0
    for name in (*PLAIN, "epipolar", "physics_iq"):
        reference = [(r, r) for r in real] if name == "physics_iq" else real
        score = resolve("evals/metrics", name).score
        score([made[0][:2]], [[r[:2] for r in reference[0]] if name == "physics_iq" else reference[0][:2]])  # loads it
        begun = time.process_time()
        score(made, reference)
        spent = (time.process_time() - begun) / count
        total += spent if name in PLAIN else 0
        rows.append((name, f"{1e3 * spent:.0f}"))
    report.say(
        f"\n{count} clips of {frames} frames of {side}x{side}, a textured board that moves; the floor is included."
    )
    report.table(("metric", "ms of one core per clip"), rows)
    return total


def damage(report: Report) -> list[tuple[str, str, str, bool]]:
    """What each metric says of each damage, and whether the one that is there for it sees it."""
    real = [frames for _, frames in rendered(128, 2, "", 2 if report.short else 12)]
    names, rows, bars = (*PLAIN, "epipolar"), [], []
    floors = {n: resolve("evals/metrics", n).score(real, real).floor for n in names}
    rows.append(("one grey level of noise: the floor", *(f"{floors[n]:.3f}" for n in names)))
    for what, (harm, judge) in DAMAGES.items():
        harmed = [harm(clip) for clip in real]
        values = {n: resolve("evals/metrics", n).score(harmed, real).value for n in names}
        rows.append((what, *(f"{values[n]:.3f}" for n in names)))
        higher = resolve("evals/metrics", judge).HIGHER_IS_BETTER
        seen = values[judge] < floors[judge] if higher else values[judge] > floors[judge]
        bars.append(
            (f"{judge} sees: {what}", f"{'<' if higher else '>'} {floors[judge]:.3f}", f"{values[judge]:.3f}", seen)
        )
    report.say(f"\n{len(real)} renders of tabletop level 2, 32 frames of 128x128 at 12 frames/s.")
    report.table(("damage", *names), rows)
    return bars


def rigid(report: Report) -> None:
    """The Sampson error of renders and of the same renders bent."""
    rows = []
    for side in (128,) if report.short else (128, 256):
        clips = list(rendered(side, 1, "orbit", 3 if report.short else 13))
        for still in (True, False):
            some = [frames for rests, frames in clips if rests == still]
            if not some:
                continue
            for what, harm in (("render", np.asarray), ("bent", breathes)):
                found = [epipolar.rigidity(harm(clip)) for clip in some]
                errors = [f.error for f in found]
                rows.append(
                    (
                        side,
                        "stands" if still else "moves",
                        len(some),
                        what,
                        f"{np.median(errors):.2f}",
                        f"{min(errors):.2f} to {max(errors):.2f}",
                        f"{np.mean([f.inliers for f in found]):.2f}",
                    )  # fmt: skip
                )
    report.say("\nThe epipolar error itself, the camera orbiting (level 1).")
    report.table(("px", "the solid", "clips", "clip", "median error, px", "range", "inliers"), rows)


def main() -> None:
    report = Report("Metrics on known damage", parser(__doc__).parse_args())
    cv2.setNumThreads(1)
    total = speed(report)
    seen = damage(report)
    rigid(report)
    spent = 100 * total
    report.bars([("100 such clips, seven plain metrics", f"{BAR:.0f} s", f"{spent:.0f} s", spent < BAR), *seen])
    report.finish()


if __name__ == "__main__":
    main()
