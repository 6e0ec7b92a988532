"""Does the watermark of `worldpatch/safety` survive what happens to clips on their way, and never speak falsely?

    python benchmarks/watermark.py [--open ../shared/clips/open] [--short] [-o benchmarks/watermark.md]

Two seconds of real clips, fitted to a shorter side of 128 (also at about 8 frames/s), 256 and 480 pixels, and samples
of the shipped model, enlarged to 128 and to 720x1280. Bars: 48 bits; 99% of the numbers come back after H.264 at CRF
28, after scaling to 75%, after a crop to 90% of the height and width at a random place, and after crop, scaling and
H.264 in a row; false positives at most 1e-6 a clip; at least 38 dB to the unmarked clip, every clip. Then what goes
beyond them.
"""

import argparse
import io
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from _machine import Report, parser
from PIL import Image

from worldpatch import generate
from worldpatch.evals.suites import prompts
from worldpatch.safety import watermark
from worldpatch.types import Request
from worldpatch.video.planes import RANGE, Planes
from worldpatch.video.read import probe, read
from worldpatch.video.resize import resize

RECOVERED, FALSE, DECIBELS = 0.99, 1e-6, 38.0
MODEL = "tabletop"
SECONDS, SLOW = 2, 8  # of a clip, and frames per second of the thinned ones
FILMED = (
    "flower_timelapse.mp4", "friday_bw.mp4", "bbb_intro.webm", "pyscenedetect_testvideo.mp4", "nasa_13013.mp4",
    "dog_catch.mp4", "cups_game.mp4", "parking_cars.mp4", "asl_book.mkv", "dog_jump.mp4", "gopro_karma.mp4",
    "chimp_mpeg1.mpg", "river_vertical.mp4", "hdr10_av1_vertical.mp4", "woman_running_square.mp4",
    "shaky_rot180_vfr.mp4", "dominoes_0000.mp4", "carphone_pristine.mp4", "hand_palm.mp4", "bbb_cea608.ts",
)  # fmt: skip
DRAWN = ("tqdm_terminal.gif", "interlaced_tff_3s.mkv", "alpha_ball.webm", "black_10s.mp4", "gray_fades.mp4")
READINGS = 10_000  # of unmarked frames
Harm = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip of a kind, and its rate in frames per second."""

    name: str
    kind: str
    frames: np.ndarray
    rate: float
    planes: Planes | None = None

    def marked(self, number: int) -> np.ndarray:
        """The frames with a number in them: as files are marked, or, with `planes`, as the service does it."""
        if self.planes is None:
            return watermark.mark(self.frames, number)
        few = self.frames[watermark.looked_at(*self.planes.shape)]
        marker = watermark.Marker(self.planes.mean(watermark.LONGEST), few, number)
        for k in range(len(self.frames)):
            marker.put(self.planes.luma(k), RANGE)
        return self.planes.pixels(range(len(self.frames)))


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--open", type=Path, default=Path("../shared/clips/open"))
    arguments = made.parse_args()
    report = Report("Watermark", arguments)
    rng = np.random.default_rng(0)
    rows, decibels = kept(report, clips(arguments), rng)
    report.say("\nBeyond the bars, footage at 128 pixels at its own rate:")
    others = FILMED[: 1 if report.short else None : 2]
    report.table(("harm", "recovered", "of"), beyond((at_128(arguments.open, name) for name in others), rng))
    blank = FILMED[:1] if report.short else FILMED + DRAWN
    readings, false, words = unmarked(report, (at_128(arguments.open, name) for name in blank))
    spent(report)
    chance = words * 2.0**-watermark.CHECK
    report.bars(
        [
            ("bits that name the video", "48", str(watermark.BITS), watermark.BITS >= 48),
            *((f"recovered after {name}", f"{RECOVERED:.0%}", told(good), sum(good) >= RECOVERED * len(good))
              for name, good in rows.items()),
            ("false positives a clip, by counting", f"{FALSE:g}", f"{chance:.1e}", chance <= FALSE),
            (f"false positives among {readings} readings", "0", str(false), false == 0),
            ("decibels to the unmarked clip, the least", f"{DECIBELS:g}", f"{min(decibels):.2f}",
             min(decibels) >= DECIBELS),
        ]
    )  # fmt: skip
    report.finish()


# --------------------------------------------------------------------------------------------------------------- clips


def clips(arguments: argparse.Namespace) -> Iterator[Shown]:
    """All kinds; the short form takes one of each."""
    count = 1 if arguments.short else None
    for names, kind in ((FILMED, "footage"), (DRAWN, "drawn or blank")):
        for name, short in itertools.product(names[:count], (128, 256, 480)[:count]):
            frames, rate = two_seconds(arguments.open / name, short)
            yield Shown(name=name, kind=f"{kind}, {short}", frames=frames, rate=rate)
            every = math.floor(rate / SLOW)
            if short == 128 and every > 1 and len(frames[::every]) >= watermark.FEWEST:
                yield Shown(name=name, kind=f"{kind}, {short}, slow", frames=frames[::every], rate=rate / every)
    yield from samples(count or 5)


def at_128(folder: Path, name: str) -> Shown:
    frames, rate = two_seconds(folder / name, 128)
    return Shown(name=name, kind="128", frames=frames, rate=rate)


def two_seconds(path: Path, short: int) -> tuple[np.ndarray, float]:
    info = probe(path)
    sides = (round(side * short / min(info.height, info.width) / 2) * 2 for side in (info.height, info.width))
    height, width = sides
    return read(path, frames=round(SECONDS * info.rate), height=height, width=width)


def samples(count: int) -> Iterator[Shown]:
    """The shipped model's answers to frozen prompts, enlarged as they are shown."""
    requests = [
        Request(ability="text_to_video", params={"prompt": p.caption, "height": 48, "width": 80})
        for p in prompts.load(1)[:count]
    ]
    for request, result in zip(requests, generate.run_many(requests, generate.load(generate.find(MODEL))), strict=True):
        for height, width in ((128, 214), (720, 1280)):
            frames = resize(result.frames[0].numpy(), height, width)
            yield Shown(name=request.params["prompt"], kind=f"samples, {height}", frames=frames, rate=result.rate)
        planes = Planes(result.frames[0].numpy(), 720, 1280)
        frames = planes.pixels(range(len(planes.frames)))
        kind = "samples, 720, as the service marks them"
        yield Shown(name=request.params["prompt"], kind=kind, frames=frames, rate=result.rate, planes=planes)


# ---------------------------------------------------------------------------------------------------------------- harms


def h264(frames: np.ndarray, rate: float, crf: int) -> np.ndarray:
    """Through x264 with its usual options and back, without the last row or column of odd sides."""
    frames = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"crf": str(crf), "preset": "medium"}
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001), options=options)
        (stream.height, stream.width), stream.pix_fmt = frames.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def scaled(frames: np.ndarray, by: float) -> np.ndarray:
    return resize(frames, round(frames.shape[1] * by), round(frames.shape[2] * by))


def cropped(frames: np.ndarray, rng: np.random.Generator, by: float = 0.1) -> np.ndarray:
    """Without this share of the height and of the width, cut off anywhere."""
    height, width = (round(side * (1 - by)) for side in frames.shape[1:3])
    top, left = (int(rng.integers(a - b + 1)) for a, b in zip(frames.shape[1:3], (height, width), strict=True))
    return frames[:, top : top + height, left : left + width]


def paletted(frames: np.ndarray) -> np.ndarray:
    palette = Image.fromarray(frames[len(frames) // 2]).quantize(256)
    return np.stack([np.asarray(Image.fromarray(f).quantize(palette=palette).convert("RGB")) for f in frames])


def screenshot(frame: np.ndarray) -> np.ndarray:
    """One frame, enlarged by half and saved as JPEG."""
    file = io.BytesIO()
    Image.fromarray(scaled(frame[None], 1.5)[0]).save(file, "JPEG", quality=85)
    return np.asarray(Image.open(file).convert("RGB"))[None]


def grey(frames: np.ndarray) -> np.ndarray:
    return (frames @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)[..., None].repeat(3, 3)


def brighter(frames: np.ndarray) -> np.ndarray:
    return np.clip(frames * 1.1 + 5, 0, 255).astype(np.uint8)


BARRED: dict[str, Harm] = {
    "H.264 at CRF 28": lambda frames, rate, _: h264(frames, rate, 28),
    "scaling to 75%": lambda frames, *_: scaled(frames, 0.75),
    "a crop to 90% x 90%": lambda frames, _, rng: cropped(frames, rng),
    "all three in a row": lambda frames, rate, rng: h264(scaled(cropped(frames, rng), 0.75), rate, 28),
}
BEYOND: dict[str, Harm] = {
    "H.264 at CRF 35": lambda frames, rate, _: h264(frames, rate, 35),
    "scaling to 50%": lambda frames, *_: scaled(frames, 0.5),
    "scaling to 50%, then H.264 at CRF 28": lambda frames, rate, _: h264(scaled(frames, 0.5), rate, 28),
    "a crop to 88% x 88%": lambda frames, _, rng: cropped(frames, rng, 0.12),
    "a crop to 80% x 80%": lambda frames, _, rng: cropped(frames, rng, 0.2),
    "10% cut off at the bottom alone": lambda frames, *_: frames[:, : round(0.9 * frames.shape[1])],
    "every other frame dropped": lambda frames, *_: frames[::2],
    "every seventh frame dropped": lambda frames, *_: np.delete(frames, np.s_[::7], axis=0),
    "the first tenth of the frames cut off": lambda frames, *_: frames[len(frames) // 10 :],
    "the second half of the frames cut off": lambda frames, *_: frames[: len(frames) // 2],
    "one still frame": lambda frames, *_: frames[len(frames) // 2][None],
    "a screenshot: one frame, enlarged, JPEG 85": lambda frames, *_: screenshot(frames[len(frames) // 2]),
    "256 colours, dithered": lambda frames, *_: paletted(frames),
    "no colours": lambda frames, *_: grey(frames),
    "a tenth more contrast, brighter": lambda frames, *_: brighter(frames),
    "mirrored": lambda frames, *_: frames[:, :, ::-1],
}


# ------------------------------------------------------------------------------------------------------------- measured


def kept(report: Report, shown: Iterator[Shown], rng: np.random.Generator) -> tuple[dict[str, list[bool]], list[float]]:
    """Tables of what comes back of each kind, and what does not; all outcomes, and decibels."""
    outcomes: dict[str, dict[str, list[bool]]] = {}
    decibels: dict[str, list[float]] = {}
    lost = []
    for clip in shown:
        number = int(rng.integers(2**watermark.BITS))
        marked = clip.marked(number)
        difference = marked.astype(np.float32) - clip.frames
        decibels.setdefault(clip.kind, []).append(10 * math.log10(255**2 / float(np.mean(difference**2))))
        for name, harm in BARRED.items():
            found = watermark.find(harm(marked, clip.rate, rng))
            good = found is not None and found.id == number
            outcomes.setdefault(clip.kind, {}).setdefault(name, []).append(good)
            if not good:
                lost.append((clip.name, clip.kind, name, "nothing" if found is None else "another number"))
    report.table(
        ("clips", "dB, mean", "dB, least", *BARRED),
        [
            (kind, f"{np.mean(decibels[kind]):.2f}", f"{min(decibels[kind]):.2f}", *map(told, good.values()))
            for kind, good in outcomes.items()
        ],
    )
    report.say("\nLost:")
    report.table(("clip", "kind", "harm", "found"), lost)
    together = {name: [one for good in outcomes.values() for one in good[name]] for name in BARRED}
    return together, [value for values in decibels.values() for value in values]


def beyond(shown: Iterator[Shown], rng: np.random.Generator) -> list[tuple[str, str, str]]:
    good: dict[str, list[bool]] = {name: [] for name in BEYOND}
    for clip in shown:
        number = int(rng.integers(2**watermark.BITS))
        marked = watermark.mark(clip.frames, number)
        for name, harm in BEYOND.items():
            found = watermark.find(harm(marked, clip.rate, rng))
            good[name].append(found is not None and found.id == number)
    return [(name, str(sum(values)), str(len(values))) for name, values in good.items()]


def unmarked(report: Report, shown: Iterator[Shown]) -> tuple[int, int, int]:
    """Readings of unmarked clips, those that gave a number, and the words that one search tries at most.

    Whole clips are searched; of single frames the place that needs no search is read, with many keys.
    """
    searched, planes = [], []
    for clip in shown:
        searched.append(watermark.find(clip.frames))
        planes += [watermark._grid(watermark._mean(frame[None])) for frame in clip.frames]
    wanted = 200 if report.short else READINGS
    keys = range(1, 2 + wanted // (len(planes) * len(watermark.STEPS)))
    numbers, fits = sum(found is not None for found in searched), []
    for key, step in itertools.product(keys, watermark.STEPS):
        code = watermark._code(key, step)
        for plane in planes:
            projected = code.project(plane, watermark.UNCUT)
            fits.append(float(code.fit(projected)[0]))
            numbers += code.read(projected[0]) is not None
    places, tries = len(watermark.STEPS) * (1 + watermark.TRIED), 2**watermark.FLIPS
    report.say(
        f"\nUnmarked: {len(searched)} clips searched whole ({len(searched) * places} readings), and {len(fits)} "
        f"readings of single frames with {len(keys)} keys, each of {tries} words: {numbers} gave a number. A search "
        f"reads at most {places} places of {tries} words, 2^{math.log2(places * tries):.1f}, and a word passes by "
        f"chance with 2^-{watermark.CHECK}. Fits of the frames: mean {np.mean(fits):.3f}, standard deviation "
        f"{np.std(fits):.3f}, largest {max(fits):.3f}; chance has 0 and {math.sqrt(0.5 / watermark.COUNT):.3f}."
    )
    return len(searched) * places + len(fits), numbers, places * tries


def spent(report: Report) -> None:
    """Seconds of this thread."""
    noise = np.random.default_rng(0).integers(60, 190, (96, 9, 16, 3), dtype=np.uint8)
    rows = []
    for frames, height, width in ((48, 256, 456), (96, 720, 1280)):
        clip = resize(noise[:frames], height, width)
        begun = time.process_time()
        marked = watermark.mark(clip, 1)
        ended = time.process_time()
        watermark.find(marked)
        whole = time.process_time()
        watermark.find(clip)
        nothing = time.process_time()
        h264(marked, 24, 16)
        coded = time.process_time()
        figures = (ended - begun, whole - ended, nothing - whole, coded - nothing)
        rows.append((f"{frames} frames of {height}x{width}", *(f"{seconds:.2f}" for seconds in figures)))
        if report.short:
            break
    report.say("\nProcessor seconds; to find in what is unmarked takes as long as it ever does:")
    report.table(("clip", "mark", "find, uncut", "find, in vain", "H.264 at CRF 16 and back"), rows)


def told(good: list[bool]) -> str:
    return f"{sum(good)}/{len(good)}"


if __name__ == "__main__":
    main()
