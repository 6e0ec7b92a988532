"""Real videos become a set: what is cut, measured, left out and why; killed, resumed, asked again."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import builders
from worldpatch import config
from worldpatch.cli import main
from worldpatch.config import UserError
from worldpatch.data import manifest
from worldpatch.data.captioners import Captioned
from worldpatch.data.curate import dedup, limits, measure, pack, pipeline, probe, report, sources
from worldpatch.data.curate.ledger import Ledger
from worldpatch.data.curate.records import Source
from worldpatch.data.curate.spans import Chooser, Spans
from worldpatch.data.curate.split import Settings, Shape, split
from worldpatch.data.shots import Boundary
from worldpatch.video import read, write

pytest.importorskip("scenedetect")
pytest.importorskip("pyarrow")

RATE = 24.0
OPEN = Path(__file__).parents[3] / "shared" / "clips" / "open"
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="no Ray")
on_open_clips = pytest.mark.skipif(not OPEN.exists(), reason="needs ../shared/clips/open")


def film(seed: int, frames: int = 48, height: int = 64, width: int = 96) -> np.ndarray:
    """Discs that wander over a ground of clouds: something moves, and each seed is another scene."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (5, 8, 3), dtype=np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    places, ways = rng.uniform(0, (width, height), (5, 2)), rng.uniform(-2.5, 2.5, (5, 2))
    colours = rng.integers(0, 256, (5, 3)).tolist()
    clip = np.repeat(ground[None], frames, 0)
    for t, frame in enumerate(clip):
        for place, way, colour in zip(places, ways, colours, strict=True):
            x, y = (place + t * way) % (width, height)
            cv2.circle(frame, (int(x), int(y)), 9, colour, -1)
    return clip


def whole(tmp: Path, **fields) -> pipeline.Plan:
    settings = Settings(shape=Shape(side=96), limits=limits.Limits(overlay_max=None))  # the ground stands still
    return pipeline.Plan(sources=(str(tmp),), settings=settings, workers=0, **fields)


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    """Two shots in one file, one with a caption, its mirror image, a still film, a picture, and three bad files."""
    folder = tmp_path_factory.mktemp("collection")
    write.write(folder / "two.mp4", np.concatenate([film(1), film(2)]), RATE)
    write.write(folder / "told.mp4", film(3), RATE)
    (folder / "told.txt").write_text("five discs wander")
    (folder / "inner").mkdir()
    write.write(folder / "inner" / "mirrored.mp4", film(3)[:, :, ::-1], RATE)
    write.write(folder / "inner" / "still.mp4", np.repeat(film(4, 1), 60, 0), RATE)
    Image.fromarray(film(5, 1, 90, 130)[0]).save(folder / "inner" / "picture.png")
    (folder / "inner" / "metadata.jsonl").write_text(
        json.dumps({"file_name": "picture.png", "text": "discs", "license": "CC0"}) + "\n"
    )
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video at all" * 20)
    (folder / "half.mp4").write_bytes((folder / "told.mp4").read_bytes()[:4000])
    (folder / "again.mp4").write_bytes((folder / "two.mp4").read_bytes())
    return folder


@pytest.fixture(scope="module")
def built(collection, tmp_path_factory) -> tuple[Path, pipeline.Plan, pipeline.Built]:
    out, plan = tmp_path_factory.mktemp("set"), whole(collection, licence="CC-BY-4.0")
    return out, plan, pipeline.build(plan, out)


def reasons(made: pipeline.Built) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for d in made.decisions:
        found.setdefault(Path(d.cut.path).name, []).append(d.reason)
    return found


# ------------------------------------------------------------------------------------------------------------- as built


def test_every_file_is_a_decision_with_its_reason(built):
    _, _, made = built
    by_file = reasons(made)
    assert by_file["again.mp4"][0] == "" and by_file["again.mp4"][-1] == "" and len(by_file["again.mp4"]) == 3
    assert {by_file["told.mp4"][0][:6], by_file["mirrored.mp4"][0][:6]} == {"", "a copy"}
    assert by_file["still.mp4"] == ["nothing changes"] or "nothing changes" in by_file["still.mp4"]
    assert by_file["picture.png"] == [""]
    unusable = {Path(path).name: reason for path, reason in made.unusable}
    assert set(unusable) == {"empty.mp4", "text.mp4", "half.mp4", "two.mp4"}
    assert "0 bytes" in unusable["empty.mp4"] and "the same file as" in unusable["two.mp4"]


def test_every_frame_is_in_one_stretch(built):
    _, _, made = built
    for name, frames in (("again.mp4", 96), ("still.mp4", 60), ("told.mp4", 48)):
        cuts = sorted((d.cut.start, d.cut.stop) for d in made.decisions if Path(d.cut.path).name == name)
        assert cuts[0][0] == 0 and cuts[-1][1] == frames
        assert all(a[1] == b[0] for a, b in zip(cuts, cuts[1:], strict=False))


def test_the_set_reads_back_with_what_is_known(built):
    out, _, made = built
    rows = {row.clip_id: row for row in manifest.read(out).rows}
    assert set(rows) == {d.cut.id for d in made.kept}
    for d in made.kept:
        row = rows[d.cut.id]
        frames, rate = read_bytes(manifest.read(out).fetch(row, "mp4"))
        assert frames.shape == (d.cut.frames, row.height, row.width, 3) and rate == pytest.approx(d.cut.rate)
        assert row.crop_box == d.cut.crop and row.scores == pytest.approx(d.cut.scores) and len(row.phash) >= 1
    told = next(row for row in rows.values() if row.license == "CC0")
    assert told.num_frames == 1 and told.captions[0].text == "discs" and told.captions[0].kind == "original"
    assert {row.license for row in rows.values()} == {"CC0", "CC-BY-4.0"}
    assert sum(row.captions[0].text == "five discs wander" for row in rows.values() if row.captions) <= 1


def read_bytes(content: bytes) -> tuple[np.ndarray, float]:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        return read.read(file.name)


def test_clips_show_the_film_and_can_be_entered_every_twelve_frames(built, collection):
    import av

    out, _, made = built
    d = next(d for d in made.kept if Path(d.cut.path).name == "again.mp4")
    path = next((out / "work").rglob(f"{d.cut.id}.mp4"))
    frames, _ = read.read(path)
    original = read.read(collection / "again.mp4", d.cut.start, d.cut.frames, *frames.shape[1:3])[0]
    assert np.abs(frames.astype(float) - original).mean() < 3
    with av.open(str(path)) as container:
        keys = [i for i, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
    assert keys[0] == 0 and max(np.diff([*keys, len(frames)])) <= 12


# -------------------------------------------------------------------------------------------------- again and elsewhere


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("shard-*.tar"))}


def test_a_second_run_decodes_nothing_and_other_limits_decode_nothing(built, collection, monkeypatch):
    out, plan, made = built
    before, stamp = shards(out), (out / "shard-000000.tar").stat().st_mtime_ns
    monkeypatch.setattr(read, "planes", None)  # whoever decodes now, fails
    assert pipeline.build(plan, out) == made
    assert shards(out) == before and (out / "shard-000000.tar").stat().st_mtime_ns == stamp
    strict = dataclasses.replace(plan.settings, limits=limits.Limits(sharpness_min=1e9))
    other = pipeline.build(dataclasses.replace(plan, settings=strict), out)
    assert not other.kept and any(d.reason.startswith("blurred") for d in other.decisions)
    pipeline.build(plan, out)
    assert shards(out) == before


def test_looser_limits_decode_only_what_is_newly_kept(collection, tmp_path):
    strict = Settings(shape=Shape(side=96), limits=limits.Limits(sharpness_min=1e9))
    plan = pipeline.Plan(sources=(str(collection / "told.mp4"),), settings=strict, workers=0)
    assert not pipeline.build(plan, tmp_path).kept
    loose = dataclasses.replace(plan, settings=Settings(shape=Shape(side=96)))
    assert len(pipeline.build(loose, tmp_path).kept) == 1


def test_workers_give_the_same_set(built, collection, tmp_path):
    out, plan, _ = built
    pipeline.build(dataclasses.replace(plan, workers=2), tmp_path)
    assert shards(tmp_path) == shards(out)


@pytest.mark.timeout(300)
@needs_ray
def test_ray_gives_the_same_set(built, collection, tmp_path):
    out, plan, _ = built
    pipeline.build(dataclasses.replace(plan, engine="ray", workers=1), tmp_path)
    assert shards(tmp_path) == shards(out)
    assert "ray" not in sys.modules  # a thread of it outlives its shutdown: it belongs into a process of its own


@pytest.mark.parametrize("lines", [4, 12])
def test_a_killed_build_goes_on_to_the_same_set(built, collection, tmp_path, lines):
    out, plan, _ = built
    code = """
import json, sys
from pathlib import Path
from worldpatch import config
from worldpatch.data.curate import pipeline
pipeline.build(config.build(pipeline.Plan, json.loads(sys.argv[1])), Path(sys.argv[2]))
"""
    command = [sys.executable, "-c", code, json.dumps(config.dump(plan)), str(tmp_path)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    ledger, until = tmp_path / "ledger.jsonl", time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if ledger.exists() and ledger.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with ledger.open("ab") as file:
        file.write(b'{"stage": "split", "key": "torn')  # as if it had been killed in the middle of a line
    pipeline.build(plan, tmp_path)
    assert shards(tmp_path) == shards(out)


def test_a_folder_is_built_by_one_process_at_a_time(tmp_path):
    with Ledger(tmp_path / "ledger.jsonl"), pytest.raises(UserError, match="another process"):
        Ledger(tmp_path / "ledger.jsonl")


def test_ledgers_of_another_version_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"ledger": 99}\n')
    with pytest.raises(UserError, match="another version"):
        Ledger(path)
    path.write_text('{"ledger": 1}\n{"stage": \n{"stage": "a", "key": "b", "value": 1}\n')
    with pytest.raises(UserError, match="damaged"):
        Ledger(path)


def test_a_full_disk_stops_the_build_and_loses_nothing(collection, tmp_path, monkeypatch):
    real, calls = write.encode, []

    def full(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(write, "encode", full)
    plan = whole(collection)
    with pytest.raises(UserError, match="No space left"):
        pipeline.build(plan, tmp_path)
    monkeypatch.setattr(write, "encode", real)
    assert len(pipeline.build(plan, tmp_path).kept) == 4


# -------------------------------------------------------------------------------------------------------------- engines


def crash(job: int) -> int:
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


def hang(job: int) -> int:
    from worldpatch.data import engines

    engines.SILENCE = 1
    engines.beat()
    if job == 1:
        time.sleep(60)
    engines.rest()
    return job


@pytest.mark.parametrize("name", ["local", pytest.param("ray", marks=needs_ray)])
def test_a_worker_that_dies_takes_only_its_own_job(name):
    engine = config.resolve("data/engines", name)
    outcomes = list(engine.each(crash, range(5), 2))
    assert [o for i, o in enumerate(outcomes) if i != 2] == [0, 1, 9, 16]
    assert "died" in outcomes[2].reason


def test_a_worker_that_hangs_is_ended():
    local = config.resolve("data/engines", "local")
    outcomes = list(local.each(hang, range(3), 1))
    assert [outcomes[0], outcomes[2]] == [0, 2] and "hung" in outcomes[1].reason


# ---------------------------------------------------------------------------------------------------------------- files


def test_folders_that_lead_back_and_lists_are_read_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    write.write(tmp_path / "a" / "x.mp4", film(1, 4), RATE)
    with (tmp_path / "list.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerows([["video_path", "caption", "license"], ["a/x.mp4", "a list says this", "CC0"]])
    found, problems = sources.discover([str(tmp_path / "a")])
    assert [Path(s.path).name for s in found] == ["x.mp4"] and "leads back" in problems[0][1]
    found, _ = sources.discover([str(tmp_path / "list.csv"), str(tmp_path / "a")], licence="MIT")
    assert len(found) == 1 and (found[0].caption, found[0].licence) == ("a list says this", "CC0")


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    write.write(tmp_path / "x.mp4", film(1, 4), RATE)
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, problems = sources.discover([str(tmp_path)])
    assert len(found) == 1 and "Permission denied" in problems[0][1]


@pytest.mark.parametrize("rows", ["caption\nno file\n", "[1, 2]", "{"])
def test_lists_without_files_are_refused(tmp_path, rows):
    path = tmp_path / ("x.csv" if rows.startswith("cap") else "x.json")
    path.write_text(rows)
    with pytest.raises(UserError, match="names no file|cannot read the list"):
        sources.discover([str(path)])


def test_nothing_to_be_found_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no video or picture"):
        sources.discover([str(tmp_path)])
    with pytest.raises(UserError, match="does not exist"):
        sources.discover([str(tmp_path / "nowhere")])


@on_open_clips
def test_every_bad_file_has_a_reason_or_gives_what_can_be_decoded(tmp_path):
    fine = {"bad_corrupted_nal.mp4", "bad_gif_named_mp4.mp4", "bad_mdat_too_long.mp4", "bad_truncated_60pct.mkv"}
    for path in sorted([*OPEN.glob("bad_*"), *OPEN.glob("odd_*"), OPEN / "img_broken.png", OPEN / "img_truncated.jpg"]):
        file = probe.probe(vars(Source(path=str(path))))
        if file["reason"]:
            assert path.name not in fine and len(file["reason"]) > 8
            continue
        made = split({"file": file, "settings": config.dump(Settings()), "work": str(tmp_path)})
        assert bool(made["cuts"]) != bool(made["error"]) and (path.name in fine or made["error"] or made["frames"] < 9)


@on_open_clips
def test_peculiar_files_are_known_for_what_they_are():
    def notes(name: str) -> tuple[str, ...]:
        return tuple(probe.probe(vars(Source(path=str(OPEN / name))))["notes"])

    assert "transparent" in notes("alpha_ball.webm") and "interlaced" in notes("interlaced_tff_3s.mkv")
    assert {"high dynamic range", "10 bits or more"} <= set(notes("hlg10_chart.mp4"))
    assert "uneven frame times" in notes("screenrec_vfr.mp4") and "several video streams" in notes("nasa_13013.mp4")
    assert notes("dog_jump.mp4") == () and notes("tqdm_terminal.gif") == ("animation",)


def test_black_bars_are_cut_off_and_dark_scenes_are_not(tmp_path):
    framed = np.zeros((48, 96, 128, 3), np.uint8)
    framed[:, 12:84] = film(7, 48, 72, 128)
    write.write(tmp_path / "framed.mp4", framed, RATE)
    file = probe.probe(vars(Source(path=str(tmp_path / "framed.mp4"))))
    left, top, right, bottom = file["box"]
    assert (left, right) == (0, 128) and abs(top - 12) <= 2 and abs(bottom - 84) <= 2
    made = split({"file": file, "settings": config.dump(Settings()), "work": str(tmp_path)})
    (cut,) = made["cuts"]
    assert cut["media"] and cut["scores"]["luma"] > 0.3
    dark = np.zeros((48, 96, 128, 3), np.uint8)
    dark[:, 40:60, 90:110] = 200
    assert probe.bars(list(dark[..., 0])) is None


# --------------------------------------------------------------------------------------------------- spans and measures


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_spans_are_all_frames_each_once_and_clips_keep_their_bounds(data):
    count, rate = data.draw(st.integers(1, 400)), data.draw(st.sampled_from([5.0, 24.0, 60.0]))
    black = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    still = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    starts = sorted(data.draw(st.sets(st.integers(1, 399), max_size=6)))
    cuts = {s: Boundary(frame=s, time=s / rate, kind="cut", start=s, stop=s) for s in starts}
    bounds = Spans(shortest=0.5, longest=2.0)
    chooser, spans = Chooser(bounds, rate), []
    for i in range(count):
        spans += chooser.add(cuts.get(i), black[i], still[i])
    spans += chooser.finish()
    assert [s.start for s in spans] == [0, *(s.stop for s in spans[:-1])] and spans[-1].stop == count
    for s in (s for s in spans if not s.reason):
        assert 0.5 * rate - 1 <= s.stop - s.start <= 2.0 * rate + 1
        assert not any(black[s.start : s.stop]) and not any(s.start < c < s.stop for c in cuts)


def planes(frames: np.ndarray):
    import av

    return [av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p") for frame in frames]


def scored(frames: np.ndarray) -> dict[str, float]:
    made = planes(frames)
    return measure.scores(made, [measure.thumb(f) for f in made], RATE)


def test_scores_say_what_they_are_named_for():
    plain = film(1)
    usual = scored(plain)
    assert scored(np.stack([cv2.GaussianBlur(f, (0, 0), 3) for f in plain]))["sharpness"] < 0.2 * usual["sharpness"]
    assert scored(plain // 4)["luma"] < 0.5 * usual["luma"]
    assert scored(np.repeat(plain[::4], 4, 0))["still"] > 0.7 > 0.1 > usual["still"]
    flash = plain.copy()
    flash[::2] = np.clip(flash[::2].astype(int) + 40, 0, 255)
    assert scored(flash)["flicker"] > 10 * usual["flicker"]
    faster = film(1, 96)[::2]
    assert scored(faster)["motion"] > 1.4 * usual["motion"]


def test_a_mark_that_stays_while_all_moves_is_an_overlay():
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (144, 800, 3), dtype=np.uint8), (0, 0), 4)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    pan = np.stack([wide[:, 6 * t : 6 * t + 256] for t in range(72)])
    marked = pan.copy()
    for frame in marked:
        cv2.putText(frame, "CHANNEL", (150, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
    assert scored(marked)["overlay"] > 10 * max(scored(pan)["overlay"], 1e-4)


def test_limits_judge_by_the_scores_there_are():
    assert limits.verdict({}, limits.Limits()) == "" and limits.verdict({"motion": 1.0}, limits.Limits()) == ""
    assert limits.verdict({"motion": 0.001}, limits.Limits()) == "too little movement: motion 0.001 is below 0.005"
    assert limits.verdict({"motion": 0.001}, limits.Limits(motion_min=None)) == ""
    with pytest.raises(UserError, match="motion_min nan is no number"):
        limits.Limits(motion_min=float("nan"))


@given(st.integers(16, 4000), st.integers(16, 4000), st.sampled_from([16, 64, 256, 720]))
def test_stored_sizes_are_multiples_not_enlarged_and_near_in_shape(height, width, side):
    h, w = Shape(side=side).size(height, width)
    assert h % 16 == w % 16 == 0 and h <= height and w <= width and min(h, w) >= 16 and max(h, w) <= max(side, 16)


# --------------------------------------------------------------------------------------------------------------- copies


def entry(name: str, frames: np.ndarray, rank: float = 0.0) -> dedup.Entry:
    looks = np.stack([measure.thumb(f) for f in planes(frames)[::3]])
    return dedup.Entry(id=name, file=name, looks=looks, rank=(rank,))


def test_copies_are_found_whatever_was_done_to_them_and_others_are_not():
    rng = np.random.default_rng(0)
    scenes = [film(seed, 96) for seed in range(8)]
    entries = [entry(f"{i}", f, 1.0) for i, f in enumerate(scenes)]
    for i, f in enumerate(scenes):
        noisy = np.clip(f + rng.normal(0, 6, f.shape), 0, 255).astype(np.uint8)
        small = np.stack([cv2.resize(x, (64, 36), interpolation=cv2.INTER_AREA) for x in f])
        entries += [
            entry(f"{i} noisy", noisy), entry(f"{i} small", small), entry(f"{i} trimmed", f[13:80]),
            entry(f"{i} mirrored", f[:, :, ::-1]), entry(f"{i} paler", (f * 0.7 + 40).astype(np.uint8)),
        ]  # fmt: skip
    found = dedup.duplicates(entries)
    assert all(found[e.id] == e.id.split()[0] for e in entries if " " in e.id) and len(found) == 40
    assert dedup.duplicates(entries[::-1]) == found


def test_two_moments_of_a_resting_camera_are_not_copies():
    one, two = film(1, 96), film(1, 400)[300:]
    ground = np.median(film(1, 400), axis=0)
    assert np.abs(one.mean(0) - ground).mean() < 25  # the scene is the same
    assert dedup.duplicates([entry("a", one, 1.0), entry("b", two)]) == {}


# ----------------------------------------------------------------------------------------------- captions and questions


class Teller:
    """Says the same of all, of some nothing."""

    name = "teller"

    def caption(self, clips):
        return [
            Captioned(clip_id=i, captions={"dense": f"discs over clouds, {i[:4]}"}) if frames.shape[0] > 1
            else Captioned(clip_id=i, error="the endpoint is down")
            for i, frames, _ in clips
        ]  # fmt: skip


def test_captions_join_their_clips_and_errors_are_asked_about_again(built, collection, tmp_path):
    _, plan, _ = built
    made = pipeline.build(plan, tmp_path, Teller())
    rows = manifest.read(tmp_path).rows
    told = [row for row in rows if any(c.model == "teller" for c in row.captions)]
    assert len(told) == len(rows) - 1 and all(row.clip_id[:4] in row.captions[-1].text for row in told)
    assert made.alarms  # clips of known truth were told wrongly
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        assert sum(stage == "caption" for stage, _ in ledger.values) == len(told)


def test_latents_come_with_the_set(collection, tmp_path):
    vae = builders.autoencoder(tmp_path / "vae")
    settings = dataclasses.replace(whole(collection).settings, shape=Shape(side=32))
    chosen = (str(collection / "told.mp4"), str(collection / "inner" / "picture.png"))
    plan = pipeline.Plan(sources=chosen, settings=settings, workers=0, vae=str(vae))
    pipeline.build(plan, tmp_path / "set")
    latents = {row.num_frames: row.latent for row in manifest.read(tmp_path / "set").rows}
    assert latents[1] is not None and latents[1].t == 1 and latents[48] is not None and latents[48].t == 12


def test_why_report_and_whatif(built, capsys, tmp_path):
    out, _, made = built
    kept = made.kept[0].cut.id
    assert main(["data", "why", str(out), kept[:10]]) == 0 and "kept" in capsys.readouterr().out
    assert main(["data", "why", str(out), "zzz"]) == 2 and "no clip's name" in capsys.readouterr().err
    assert main(["data", "report", str(out), "-o", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "nothing changes" in page and "CC-BY-4.0" in page and (tmp_path / "kept.png").exists()
    assert main(["data", "whatif", str(out), "--sharpness-min", "1e9", "-o", str(tmp_path / "w.png")]) == 0
    assert f"kept {' ' * 27} {len(made.kept):6} ->      0 clips" in capsys.readouterr().out
    assert main(["data", "whatif", str(out), "--nonsense", "1"]) == 2
    assert "--motion-min" in capsys.readouterr().err


def test_a_copy_comes_back_when_the_better_one_would_go(built):
    _, plan, made = built
    copy = next(d for d in made.decisions if d.copy_of)
    better = report.find(made, copy.copy_of)
    between = (copy.cut.scores["sharpness"] + better.cut.scores["sharpness"]) / 2
    if copy.cut.scores["sharpness"] > better.cut.scores["sharpness"]:
        other = report.whatif(made, limits.Limits(sharpness_min=between))
        assert report.find(other, copy.cut.id).reason == ""
    assert report.whatif(made, plan.settings.limits).kept == made.kept


def test_the_command_says_what_could_not_be_used(collection, tmp_path, capsys):
    out = tmp_path / "set"
    command = ["data", "build", str(collection), "--out", str(out), "--side", "96", "--workers", "0", "-q"]
    assert main(command) == 1
    assert main([*command[:2], str(collection / "told.mp4"), *command[3:5], "--side", "96", "--workers", "0"]) == 0
    assert "1 clips of 1 files" in capsys.readouterr().out
    assert main(["data", "build", str(collection), "--out", str(out), "--clips", "3"]) == 2
    assert "are for worlds" in capsys.readouterr().err
    assert main(["data", "build", str(collection), "--out", str(out), "--set", "limits.nonsense=3"]) == 2
    assert "motion_min" in capsys.readouterr().err
    assert pack.HELD < 0.5
