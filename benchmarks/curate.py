"""How fast real video becomes a set: against ffmpeg on the same frames, and against PySceneDetect's own splitter.

    python benchmarks/curate.py VIDEO... [--rounds 1] [--hours 2] [--ray] [--short] [-o result.md]

The videos are made into films of 1280x720 in H.264. Then, in turn: ffmpeg decodes them, scales them to 256 pixels and
encodes what it gets, with the machine's threads and as many processes at a time as is fastest; `worldpatch data build`
does the same and looks for shots, scores, hashes and copies besides; PySceneDetect's command finds shots and splits the
files with ffmpeg. Bars: at least 75% of ffmpeg's speed; less than 3 GB for a film of two hours. Needs ffmpeg, and for
its rows `scenedetect` and Ray.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _machine import GIGA, Report, parser

BAR, MEMORY = 0.75, 3.0
CORES = 2
ENCODE = ("-an", "-vf", "scale=256:-2:flags=bicubic", "-c:v", "libx264", "-preset", "medium", "-crf", "16", "-g", "12")


def main() -> None:
    made = parser(__doc__)
    made.add_argument("videos", nargs="+", type=Path)
    made.add_argument("--rounds", type=int, default=1)
    made.add_argument("--hours", type=float, default=2.0, help="length of the film that memory is measured on; 0: none")
    made.add_argument("--seconds", type=float, default=240.0, help="length of each of four films")
    made.add_argument("--ray", action="store_true", help="measure Ray as well")
    arguments = made.parse_args()
    report = Report("Real video in", arguments)
    short = report.short
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        films = make(arguments.videos, folder / "films", 2.0 if short else arguments.seconds, 2 if short else 4)
        frames = sum(count(film) for film in films)
        names = ", ".join(video.name for video in arguments.videos)
        report.say(f"\n{len(films)} films of 1280x720, {frames} frames in all, from {names}.")
        ratio = race(report, films, folder, frames, 1 if short else arguments.rounds)
        bars = [("frames per second over ffmpeg's", f"{BAR:.0%}", f"{ratio:.0%}", ratio >= BAR)]
        scaling(report, films, folder, arguments.ray)
        if hours := 0.005 if short else arguments.hours:
            peak = memory(report, folder, hours)
            claim = f"memory of all processes, film of {hours:g} h"
            bars.append((claim, f"{MEMORY:g} GB", f"{peak:.2f} GB", peak < MEMORY))
    report.bars(bars)
    report.finish()


def make(videos: Sequence[Path], folder: Path, seconds: float, films: int) -> list[Path]:
    """Films of 1280x720, the given videos one after another, each beginning as far from the others as can be."""
    folder.mkdir()
    parts = []
    for i, video in enumerate(videos):
        part = folder / f".part{i}.mp4"
        shape = "scale=1280:720:force_original_aspect_ratio=increase,crop=1280:720,fps=30,setsar=1"
        ffmpeg("-i", video, "-an", "-vf", shape, "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", part)
        parts.append(part)
    made = []
    for i in range(films):  # of different lengths: equal ones would be one file
        first = i * len(parts) // films
        turned = parts[first:] + parts[:first]
        listed = folder / ".list"
        listed.write_text("".join(f"file '{part.name}'\n" for part in turned) * (1 + round(seconds)))
        film = folder / f"film{i}.mp4"
        ffmpeg("-f", "concat", "-safe", 0, "-i", listed, "-t", seconds - i / 2, "-c", "copy", film)
        made.append(film)
    for part in parts:
        part.unlink()
    return made


def race(report: Report, films: Sequence[Path], folder: Path, frames: int, rounds: int) -> float:
    """Frames per second of each contestant, in turn; returns ours over ffmpeg's."""
    contestants: dict[str, Callable[[], None]] = {
        "ffmpeg, one film at a time, two threads": lambda: many(films, folder, 1, CORES),
        "ffmpeg, two films at a time, one thread each": lambda: many(films, folder, CORES, 1),
        "worldpatch data build, two workers": lambda: build(films[0].parent, fresh(folder / "set"), CORES),
    }
    if shutil.which("scenedetect"):
        contestants["PySceneDetect, adaptive, split-video"] = lambda: scenedetect(films, folder)
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            begun = time.perf_counter()
            call()
            took[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(times) for name, times in took.items()}
    report.table(
        ("contestant", "seconds", "frames per second"),
        [(name, f"{spent:.1f}", f"{frames / spent:.0f}") for name, spent in medians.items()],
    )
    spent = json.loads((folder / "set" / "decisions.jsonl").open().readline())["built"]["seconds"]
    whole = sum(spent.values())
    told = ", ".join(
        f"{stage} {seconds / frames * 1e3:.2f} ms ({seconds / whole:.0%})" for stage, seconds in spent.items()
    )
    report.say(f"\nOf a worker's time per frame: {told}. The rest is start-up, hashing of files, copies and packing.")
    ours = medians["worldpatch data build, two workers"]
    return min(spent for name, spent in medians.items() if name.startswith("ffmpeg")) / ours


def scaling(report: Report, films: Sequence[Path], folder: Path, ray: bool) -> None:
    """From one worker to two, by each engine, on half of the films; the time of starting an engine is part of it."""
    half = folder / "half"
    half.mkdir()
    for film in films[: len(films) // 2]:
        (half / film.name).symlink_to(film)
    frames = sum(count(film) for film in half.iterdir())
    rows = []
    for engine in ("local", *(["ray"] if ray else [])):
        times = []
        for workers in (1, CORES):
            begun = time.perf_counter()
            build(half, fresh(folder / "scaled"), workers, engine)
            times.append(time.perf_counter() - begun)
        rows.append((engine, *(f"{t:.1f} s, {frames / t:.0f}/s" for t in times), f"{times[0] / times[1]:.2f}"))
    report.table(("engine", "one worker", "two workers", "times as fast"), rows)


def memory(report: Report, folder: Path, hours: float) -> float:
    """The most memory that all processes of a build hold together, in GB, on one long film of small frames."""
    long = folder / "long"
    long.mkdir()
    source = f"testsrc2=size=640x360:rate=12:duration={hours * 3600}"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast", "-g", "60", long / "long.mp4")
    frames, begun = count(long / "long.mp4"), time.perf_counter()
    peak = watched(lambda watch: build(long, fresh(folder / "longset"), 1, watch=watch))
    spent = time.perf_counter() - begun
    report.say(
        f"\nA film of {hours:g} h, {frames} frames of 640x360: {spent:.0f} s, at most {peak:.2f} GB in all processes."
    )
    return peak


# ---------------------------------------------------------------------------------------------------------- contestants


def many(films: Sequence[Path], folder: Path, processes: int, threads: int) -> None:
    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(lambda film: once(film, folder / f"{film.stem}.out.mp4", threads), films))


def once(film: Path, out: Path, threads: int) -> None:
    ffmpeg("-threads", threads, "-i", film, *ENCODE, "-threads", threads, "-filter_threads", threads, out)


def build(
    films: Path, out: Path, workers: int, engine: str = "local", watch: Callable[[int], None] | None = None
) -> None:
    flags = ["--out", out, "--workers", workers, "--engine", engine, "-q"]
    process = subprocess.Popen([sys.executable, "-m", "worldpatch", "data", "build", films, *map(str, flags)])
    if watch:
        watch(process.pid)
    if process.wait():
        raise RuntimeError(f"worldpatch data build failed with {process.returncode}")


def scenedetect(films: Sequence[Path], folder: Path) -> None:
    out = fresh(folder / "scenes")
    for film in films:
        command = ["scenedetect", "-q", "-i", film, "-o", out, "detect-adaptive", "split-video"]
        subprocess.run([*map(str, command), "-a", " ".join(ENCODE)], check=True, capture_output=True)


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


def count(film: Path) -> int:
    entries = ["-select_streams", "v", "-show_entries", "stream=nb_frames", "-of", "csv=p=0"]
    done = subprocess.run(["ffprobe", "-v", "error", *entries, str(film)], check=True, capture_output=True, text=True)
    return int(done.stdout.strip().strip(","))


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


# --------------------------------------------------------------------------------------------------------------- memory


def watched(job: Callable[[Callable[[int], None]], None]) -> float:
    """The most memory, in GB, that a process and all it started held together while the job ran (shared pages once)."""
    most, done = [0], threading.Event()

    def watch(pid: int) -> None:
        def look() -> None:
            while not done.wait(0.5):
                most[0] = max(most[0], sum(held(p) for p in family(pid)))

        threading.Thread(target=look, daemon=True).start()

    job(watch)
    done.set()
    return most[0] / GIGA


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def held(pid: int) -> int:
    """Bytes of a process, what it shares with others in equal parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
