"""Shot boundaries: made ones amid flashes and pans, checked ones in real videos."""

import csv
import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldpatch.cli import main
from worldpatch.data import shots
from worldpatch.data.shots import Boundary, Detector
from worldpatch.video import write

pytest.importorskip("scenedetect")

RATE = 24.0
OPEN = Path(__file__).parents[3] / "shared" / "clips" / "open"


def picture(seed: int, height: int = 90, width: int = 320) -> np.ndarray:
    """Something like a photograph: clouds of colour with edges in them."""
    rng = np.random.default_rng(seed)
    canvas = cv2.resize(
        rng.integers(0, 256, (5, 12, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(14):
        centre, size = rng.integers(0, (width, height)), int(rng.integers(6, 30))
        cv2.circle(canvas, [int(v) for v in centre], size, [int(v) for v in rng.integers(0, 256, 3)], -1)
    return canvas


def shot(seed: int, frames: int, speed: float = 0.0) -> np.ndarray:
    """A pan over a picture at `speed` widths of the frame per second, there and back."""
    wide, at = picture(seed), np.arange(frames) * speed * 160 / RATE
    left = np.abs((at + 160) % 320 - 160).round().astype(int)
    return np.stack([wide[:, x : x + 160] for x in left])


def found(frames: np.ndarray) -> list[Boundary]:
    detector = Detector(RATE)
    return [b for frame in frames for b in detector.add(frame)] + detector.finish()


def test_made_cuts_are_found_amid_flashes_and_fast_pans():
    rng, hits, alarms, total = np.random.default_rng(7), 0, 0, 0
    for film in range(6):
        lengths = rng.integers(20, 60, 8)
        parts = [shot(100 * film + i, int(n), float(rng.choice([0.0, 0.2, 1.5]))) for i, n in enumerate(lengths)]
        frames, cuts = np.concatenate(parts).copy(), set(np.cumsum(lengths)[:-1].tolist())
        for at in rng.integers(4, len(frames) - 4, 6):  # flashes
            if min(abs(at - c) for c in cuts) > 8:
                frames[at : at + 2] = np.clip(frames[at : at + 2].astype(int) + 140, 0, 255)
        told = [b.frame for b in found(frames) if b.kind == "cut"]
        good = {c for c in cuts if any(abs(c - t) <= 2 for t in told)}
        hits, alarms, total = hits + len(good), alarms + len(told) - len(good), total + len(cuts)
    assert 2 * hits / (total + hits + alarms) >= 0.95, (hits, alarms, total)


@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.5])
@pytest.mark.parametrize("kind", ["dissolve", "fade"])
def test_made_gradual_changes_are_found_with_their_ends(kind: str, seconds: float):
    n = round(seconds * RATE)
    a, b = shot(1, 40 + n), shot(2, 40 + n) if kind == "dissolve" else np.zeros((40 + n, 90, 160, 3), np.uint8)
    share = np.linspace(0, 1, n)[:, None, None, None]
    mixed = ((1 - share) * a[40:] + share * b[:n]).round().astype(np.uint8)
    (one,) = found(np.concatenate([a[:40], mixed, b[n:]]))
    assert one.kind == kind and abs(one.start - 40) <= 3 and abs(one.stop - (39 + n)) <= 3
    assert one.frame == pytest.approx(40 + n / 2 if kind == "dissolve" else 39 + n, abs=3)


@pytest.mark.parametrize("speed", [0.0, 0.1, 0.5, 2.0])
def test_pans_alone_are_one_shot(speed: float):
    assert found(shot(5, 120, speed)) == []


def test_light_that_changes_is_no_boundary():
    frames = shot(3, 96)
    dim = np.linspace(1, 0.4, 96)[:, None, None, None]
    assert found((frames * dim).round().astype(np.uint8)) == []


def test_the_command_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write.write(tmp_path / "two.mp4", np.concatenate([shot(1, 30), shot(2, 30)]), RATE)
    assert main(["data", "shots", str(tmp_path / "two.mp4"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rate"] == RATE and [(b["frame"], b["kind"]) for b in told["boundaries"]] == [(30, "cut")]
    assert main(["data", "shots", str(tmp_path / "two.mp4")]) == 0
    assert "1.250 s  frame     30  cut" in capsys.readouterr().out
    (tmp_path / "none.mp4").write_bytes(b"nothing")
    assert main(["data", "shots", str(tmp_path / "none.mp4")]) == 2 and "none.mp4" in capsys.readouterr().err


def test_one_frame_and_none_are_no_trouble():
    assert Detector(RATE).finish() == [] and found(shot(1, 1)) == []


@pytest.mark.skipif(not OPEN.exists(), reason="shared clips are not here")
def test_checked_boundaries_of_real_videos():
    truth: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for row in csv.DictReader((OPEN / "cuts.csv").open()):
        event = row["event"].removesuffix("_in").removesuffix("_out")
        if event in ("cut", "fade", "dissolve") and "index 3" not in row["note"]:
            truth[row["file"]].append((event, int(row["start_frame"]), int(row["end_frame"])))
    for hard in (True, False):
        hits, alarms, total = 0, 0, 0
        for name, events in truth.items():
            mine = [b for b in shots.detect(OPEN / name)[1] if (b.kind == "cut") == hard]
            due = [e for e in events if (e[0] == "cut") == hard]
            good = sum(any(b.start <= stop + 2 and start - 2 <= b.stop for b in mine) for _, start, stop in due)
            hits, alarms, total = hits + good, alarms + len(mine) - good, total + len(due)
        f1 = 2 * hits / (total + hits + max(0, alarms))
        assert f1 >= (0.9 if hard else 0.7), (hard, hits, alarms, total)
