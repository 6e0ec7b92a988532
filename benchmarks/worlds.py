"""How fast tabletop renders: frames per second and core, over whole clips with shadows, physics and captions.

    python benchmarks/worlds.py [--short] [--clips 40] [-o result.md]

Bar: at least 120 frames/s per core at 64x64 (level by level, masks off). One core is one process: the rasteriser runs
one thread. Frames are divided by the processor time of the whole process, so another program's share does not count;
wall time stands beside. The first clip, which opens the renderer, is timed on its own.
"""

import itertools
import time
from dataclasses import dataclass

from _machine import Report, parser

from worldpatch.worlds import tabletop

BAR = 120.0  # frames per second and core


@dataclass(frozen=True)
class Speed:
    """Frames per second of processor time and of wall time, and seconds of the first clip."""

    core: float
    wall: float
    first: float


def speed(config: tabletop.Config, count: int) -> Speed:
    clips = tabletop.clips(config, seed=12345)
    begun = time.perf_counter()
    next(clips)
    first, frames = time.perf_counter() - begun, 0
    wall, core = time.perf_counter(), time.process_time()
    for clip in itertools.islice(clips, count):
        frames += len(clip.frames)
    return Speed(frames / (time.process_time() - core), frames / (time.perf_counter() - wall), first)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--clips", type=int, default=40, help="per setting, 25 frames each")
    arguments = made.parse_args()
    count, sizes, frames = (2, (64,), 9) if arguments.short else (arguments.clips, (64, 128), 25)
    report = Report("Rendering tabletop", arguments)
    rows, least = [], float("inf")
    for size, level, masks in itertools.product(sizes, (1, 2, 3, 4), (False, True)):
        config = tabletop.Config(level=level, height=size, width=size, frames=frames, masks=masks)
        found = speed(config, count)
        if size == 64 and not masks:
            least = min(least, found.core)
        figures = (f"{found.core:.0f}", f"{found.wall:.0f}", f"{found.first:.2f}")
        rows.append((f"{size}x{size}", level, "on" if masks else "off", *figures))
    report.table(("size", "level", "masks", "frames/s per core", "frames/s, wall", "first clip, s"), rows)
    report.say(f"\n{count} clips of {frames} frames per line.")
    report.bars([("64x64, slowest level, per core", f">= {BAR:.0f} frames/s", f"{least:.0f}", least >= BAR)])
    report.finish()


if __name__ == "__main__":
    main()
