"""Where do shots begin? F1 on hand-checked videos, and frames per second, beside PySceneDetect's detectors.

    python benchmarks/shots.py FOLDER [--short] [-o result.md]

FOLDER holds videos and cuts.csv (file, event, start_frame, end_frame, note). A cut counts as found within 2 frames; a
fade or dissolve where a boundary of either kind overlaps it within 2 frames. All read the same frames, decoded and
shrunk beforehand, so that detecting alone is timed. Bars: F1 0.9 of cuts, 0.7 of fades and dissolves.
"""

import csv
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from _machine import Report, parser

from worldpatch.data.shots import WIDE, Boundary, Detector
from worldpatch.video.read import stream

TOLERANCE = 2  # frames
CUTS, GRADUAL = 0.9, 0.7
Span = tuple[int, int]  # first and last frame of a change
Found = dict[str, list[Span]]  # by kind: "cut", "gradual"


def ours(frames: Sequence[np.ndarray], rate: float) -> Found:
    detector = Detector(rate)
    boundaries: list[Boundary] = []
    for frame in frames:
        boundaries += detector.add(frame)
    found: Found = defaultdict(list)
    for b in boundaries + detector.finish():
        found["cut" if b.kind == "cut" else "gradual"].append((b.start, b.stop))
    return found


def theirs(
    make: Callable[[], Sequence[object]], kinds: Sequence[str]
) -> Callable[[Sequence[np.ndarray], float], Found]:
    """Detectors of PySceneDetect, each of whose cuts is of the kind at its place."""

    def detect(frames: Sequence[np.ndarray], rate: float) -> Found:
        from scenedetect.common import FrameTimecode

        found: Found = defaultdict(list)
        detectors = make()
        for detector, kind in zip(detectors, kinds, strict=True):
            for i, frame in enumerate(frames):
                for cut in detector.process_frame(FrameTimecode(i, rate), frame[..., ::-1]):  # type: ignore[attr-defined]
                    found[kind].append((cut.frame_num, cut.frame_num))
            for cut in detector.post_process(FrameTimecode(len(frames), rate)):  # type: ignore[attr-defined]
                found[kind].append((cut.frame_num, cut.frame_num))
        return found

    return detect


def contestants() -> dict[str, Callable[[Sequence[np.ndarray], float], Found]]:
    from scenedetect import AdaptiveDetector, ContentDetector, ThresholdDetector

    return {
        "worldpatch": ours,
        "PySceneDetect adaptive, as it comes": theirs(lambda: [AdaptiveDetector()], ["cut"]),
        "PySceneDetect adaptive 3.5 and threshold": theirs(
            lambda: [AdaptiveDetector(3.5, 15, 3), ThresholdDetector()], ["cut", "gradual"]
        ),
        "PySceneDetect content 31": theirs(lambda: [ContentDetector(31.0)], ["cut"]),
    }


def main() -> None:
    made = parser(__doc__)
    made.add_argument("folder", type=Path)
    arguments = made.parse_args()
    report = Report("Shots", arguments)
    due = truth(arguments.folder)
    names = sorted(due)[:2] if report.short else sorted(due)
    films = {name: stream(arguments.folder / name, side=WIDE) for name in names}
    read = {name: (list(frames), rate) for name, (rate, frames) in films.items()}
    count = sum(len(frames) for frames, _ in read.values())
    rows, scores = [], {}
    for name, detect in contestants().items():
        begun = time.perf_counter()
        found = {film: detect(*read[film]) for film in names}
        speed = count / (time.perf_counter() - begun)
        cuts, gradual = (f1(due, found, kind, names) for kind in ("cut", "gradual"))
        rows.append((name, told(cuts), told(gradual), f"{speed:.0f}"))
        scores.setdefault("ours", (cuts[0], gradual[0]))
    report.say(f"\n{len(names)} videos, {count} frames, shrunk to {WIDE} pixels.")
    report.table(("detector", "cuts: F1 (found, false, in all)", "fades and dissolves", "frames/s"), rows)
    report.bars(
        [
            ("F1 of cuts", f"{CUTS}", f"{scores['ours'][0]:.2f}", scores["ours"][0] >= CUTS),
            ("F1 of fades and dissolves", f"{GRADUAL}", f"{scores['ours'][1]:.2f}", scores["ours"][1] >= GRADUAL),
        ]
    )
    report.finish()


def truth(folder: Path) -> dict[str, Found]:
    """What was checked by hand, by file; of a file with several streams only the first."""
    due: dict[str, Found] = {}
    for row in csv.DictReader((folder / "cuts.csv").open()):
        event = row["event"].removesuffix("_in").removesuffix("_out")
        film = due.setdefault(row["file"], defaultdict(list))
        if event in ("cut", "fade", "dissolve") and "index 3" not in row["note"]:
            span = int(row["start_frame"]), int(row["end_frame"])
            film["cut" if event == "cut" else "gradual"].append(span)
    return due


def f1(due: dict[str, Found], found: dict[str, Found], kind: str, names: Sequence[str]) -> tuple[float, int, int, int]:
    """F1, found, false alarms, and how many there are. A boundary of another kind that overlaps is no alarm."""
    hits = alarms = total = 0
    for name in names:
        wanted, mine = due[name][kind], found[name][kind]
        every = [span for spans in due[name].values() for span in spans]
        hits += sum(any(near(w, m) for m in mine) for w in wanted)
        alarms += sum(not any(near(w, m) for w in every) for m in mine)
        total += len(wanted)
    return 2 * hits / max(1, hits + alarms + total), hits, alarms, total


def near(a: Span, b: Span) -> bool:
    return b[0] <= a[1] + TOLERANCE and a[0] - TOLERANCE <= b[1]


def told(score: tuple[float, int, int, int]) -> str:
    return f"{score[0]:.2f} ({score[1]}, {score[2]}, {score[3]})"


if __name__ == "__main__":
    main()
