"""Are copies found, and only copies? Videos re-encoded, resized, trimmed and mirrored among the videos themselves.

    python benchmarks/dedup.py FOLDER [--short] [-o result.md]

FOLDER holds different videos. Of each there are four copies: re-encoded at low quality, half as large, mirrored, and
without its first 17% and its last 13%. All of them become one set; what `worldpatch data build` leaves out as copies is
compared with the truth: a clip is a copy where at least half of it lies in a kept clip made from the same video. Bars:
recall 0.95, precision 0.98. Needs ffmpeg.
"""

import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from _machine import Report, parser

from worldpatch.data.curate import pipeline
from worldpatch.data.curate.sources import VIDEO_SUFFIXES

RECALL, PRECISION = 0.95, 0.98
EVEN = "scale=trunc(iw/2)*2:trunc(ih/2)*2"
COPIES = {
    "re-encoded": ["-vf", EVEN, "-crf", "33", "-preset", "veryfast"],
    "half as large": ["-vf", "scale=trunc(iw/4)*2:trunc(ih/4)*2", "-crf", "26"],
    "mirrored": ["-vf", f"{EVEN},hflip", "-crf", "24"],
    "trimmed": ["-vf", EVEN, "-crf", "22"],
}
BEGIN, END = 0.17, 0.87  # of a trimmed copy, in lengths of the video
HALF, NEARLY = 0.5, 0.4  # share in a kept clip: from which a copy must be found, and from which it may be


@dataclass(frozen=True)
class Clip:
    """A clip in seconds of the video that it was made from."""

    video: str
    way: str
    file: str
    start: float
    stop: float
    copy_of: str

    def share_in(self, other: "Clip") -> float:
        """The share of this clip that the other one shows as well."""
        if self.video != other.video or self.file == other.file:
            return 0.0
        return max(0.0, min(self.stop, other.stop) - max(self.start, other.start)) / (self.stop - self.start)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("folder", type=Path)
    arguments = made.parse_args()
    report = Report("Copies", arguments)
    videos = [
        v for v in sorted(arguments.folder.iterdir()) if v.suffix in VIDEO_SUFFIXES and not v.name.startswith("bad_")
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "videos"
        folder.mkdir()
        lengths = {v.stem: copies(v, folder) for v in (videos[:3] if report.short else videos)}
        plan = pipeline.Plan(sources=(str(folder),), workers=2)
        built = pipeline.build(plan, Path(temporary) / "set")
    clips = {d.cut.id: clip(d, lengths) for d in built.decisions if not d.reason or d.copy_of}
    rows, found, right, missed = judge(clips)
    report.say(f"\n{len(lengths)} videos, {len(clips)} clips of them and their copies.")
    report.table(("clips of files that are", "copies found", "rightly", "missed"), rows)
    recall, precision = right / max(1, right + missed), right / max(1, found)
    report.bars(
        [
            ("copies that are found", f"{RECALL:.0%}", f"{recall:.1%}", recall >= RECALL),
            ("of those found, copies", f"{PRECISION:.0%}", f"{precision:.1%}", precision >= PRECISION),
        ]
    )
    report.finish()


def judge(clips: dict[str, Clip]) -> tuple[list[tuple[str, int, int, int]], int, int, int]:
    """Rows per kind of copy, and in all: found, rightly found, and missed: kept clips half of which are in another
    kept one, each pair counted once."""
    found, right, missed = Counter[str](), Counter[str](), Counter[str]()
    for c in clips.values():
        if c.copy_of:
            found[c.way] += 1
            right[c.way] += max(c.share_in(clips[c.copy_of]), clips[c.copy_of].share_in(c)) >= NEARLY
    kept = sorted((i for i, c in clips.items() if not c.copy_of), key=lambda i: clips[i].way != "original")
    gone: set[str] = set()
    for i in kept[::-1]:
        others = [j for j in kept if j != i and j not in gone]
        if any(clips[i].share_in(clips[j]) >= HALF for j in others):
            missed[clips[i].way] += 1
            gone.add(i)
    rows = [(way, found[way], right[way], missed[way]) for way in ("original", *COPIES)]
    return rows, found.total(), right.total(), missed.total()


def copies(video: Path, folder: Path) -> float:
    """Write a video's copies beside a link to it; returns its length in seconds."""
    (folder / f"{video.stem}--original{video.suffix}").symlink_to(video.resolve())
    said = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(video)]
    length = float(subprocess.run(said, check=True, capture_output=True, text=True).stdout)
    for way, options in COPIES.items():
        part = ["-ss", f"{BEGIN * length:.3f}", "-t", f"{(END - BEGIN) * length:.3f}"] if way == "trimmed" else []
        out = folder / f"{video.stem}--{way}.mp4"
        command = ["ffmpeg", "-v", "error", "-y", *part[:2], "-i", str(video), *part[2:], "-an", "-pix_fmt", "yuv420p"]
        subprocess.run([*command, "-c:v", "libx264", *options, str(out)], check=True)
    return length


def clip(decision: pipeline.Decision, lengths: dict[str, float]) -> Clip:
    cut = decision.cut
    video, way = Path(cut.path).stem.split("--")
    late = BEGIN * lengths[video] if way == "trimmed" else 0.0
    return Clip(video, way, cut.path, cut.start / cut.rate + late, cut.stop / cut.rate + late, decision.copy_of)


if __name__ == "__main__":
    main()
