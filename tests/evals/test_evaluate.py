"""Judging models and folders: anybody's clips by the same eyes, damaged files scored and never a crash."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders import PATCH, SPEC
from worldpatch.config import UserError
from worldpatch.evals import _model, card, evaluate
from worldpatch.evals._curves import compare
from worldpatch.evals._folder import clip, sort
from worldpatch.evals._sets import distances
from worldpatch.evals.suites._task import Choice, Form, Task
from worldpatch.evals.suites.physics import Physics
from worldpatch.generate.pipeline import Pipeline
from worldpatch.video import write

pytest.importorskip("mujoco")

CHOICE = Choice(modes=("image",), count=1, only=("free_fall",))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the suite asks of others: four scenes, one of each split, with the real clips as what they made."""
    folder = tmp_path_factory.mktemp("others")
    suite = evaluate.find("physics")
    evaluate.export(folder, suite, CHOICE)
    for task in suite.tasks(CHOICE):
        real = suite.real(task)
        assert real is not None
        write.write(folder / f"{task.key}.mp4", real, task.form.rate)
    return folder


@pytest.fixture(scope="module")
def real(exported: Path) -> evaluate.Made:
    return evaluate.folder(exported)


def test_the_worlds_own_renders_are_near_perfect(real: evaluate.Made):
    assert real.card["headline"]["skill"] > 0.95
    assert real.card["subject"]["clips"] == 4 and not real.card["protocol"]["notes"]
    assert real.card["variety"] is None, "one clip of each task"


class Noise(Physics):
    """A suite whose tasks ask for noise."""

    def real(self, task: Task) -> np.ndarray:
        return np.random.default_rng(int(task.key)).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def test_sets_of_clips_have_distances_where_there_are_enough():
    form, suite = Form(height=16, width=16, frames=5), Noise()
    tasks = [Task(key=str(i), prompt="noise", form=form, strata={"mode": "text"}) for i in range(40)]
    few = [Task(key=str(i), prompt="noise", form=form, strata={"mode": "image"}) for i in range(8)]
    samples = [card.Sample(task=t, seed=0, scores={}) for t in (*tasks, *few)]
    same = [suite.real(s.task) for s in samples]
    found = distances(suite, samples, same)
    assert list(found) == ["text"] and list(found["text"]) == ["kernel"], "8 are too few for any, 40 for Frechet's"
    dark = distances(suite, samples, [clip // 4 for clip in same])
    kernel = found["text"]["kernel"]
    assert kernel["clips"] == kernel["reals"] == 40
    assert dark["text"]["kernel"]["value"] > 3 * max(abs(kernel["value"]), kernel["floor"])


def test_damaged_clips_fall_and_are_told(exported: Path, real: evaluate.Made, tmp_path: Path):
    files = [exported / f"{s.task.key}.mp4" for s in real.samples]
    (tmp_path / "manifest.json").write_bytes((exported / "manifest.json").read_bytes())
    (tmp_path / files[0].name).write_bytes(b"no video at all")
    black = np.zeros((25, 64, 64, 3), np.uint8)
    write.write(tmp_path / files[1].name, black, 8.0)
    write.write(tmp_path / f"{files[2].stem}-0.mp4", real.clips[2][:9].repeat(2, 1).repeat(2, 2), 16.0)
    write.write(tmp_path / "holiday.mp4", black, 8.0)
    made = evaluate.folder(tmp_path)
    assert made.card["headline"]["skill"] < 0.6 * real.card["headline"]["skill"]
    notes = [" ".join(s.notes) for s in made.samples]
    assert "unreadable" in notes[0] and "missing" in notes[3]
    assert all(told in notes[2] for told in ("128x128 resized", "16 frames/s read at 8", "last frame held"))
    assert "holiday.mp4" in made.card["protocol"]["notes"][0]
    assert all(np.isfinite(v) for s in made.samples for v in s.scores.values())


def test_the_same_clips_give_the_same_card(exported: Path, real: evaluate.Made):
    found = card.reproduction(real.card, evaluate.folder(exported).card)
    assert found.equal == found.samples == 4 and found.largest == 0


def test_a_card_survives_its_file(real: evaluate.Made, tmp_path: Path):
    card.save(real.card, tmp_path / "card.json")
    assert card.load(tmp_path) == real.card


def test_cards_of_other_protocols_are_refused(real: evaluate.Made):
    other: dict[str, Any] = {**real.card, "suite": "prompts_level1"}
    with pytest.raises(UserError, match="suites physics and prompts_level1"):
        compare([real.card, other])
    other = {**real.card, "tasks_hash": "0" * 16}
    with pytest.raises(UserError, match="has changed"):
        compare([real.card, other])
    assert "free fall" not in compare([real.card, real.card]), "a lone group is told by its metrics"


@pytest.mark.parametrize(
    ("content", "told"), [(None, "has no manifest.json"), ("{", "is damaged"), ('{"suite": "physics"}', "is damaged")]
)
def test_bad_manifests(content: str | None, told: str, tmp_path: Path):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=told):
        evaluate.folder(tmp_path)


def test_a_folder_of_nothing_is_refused(exported: Path, tmp_path: Path):
    (tmp_path / "manifest.json").write_bytes((exported / "manifest.json").read_bytes())
    with pytest.raises(UserError, match="holds no clip of the suite"):
        evaluate.folder(tmp_path)


def test_unknown_parts_are_refused():
    suite = evaluate.find("physics")
    with pytest.raises(UserError, match="no suite is named 'taste'"):
        evaluate.find("taste")
    with pytest.raises(UserError, match="no scenario is named 'levitation'"):
        suite.tasks(Choice(only=("levitation",), modes=("image",)))
    with pytest.raises(UserError, match="no scenario of this suite has actions"):
        suite.tasks(Choice(modes=("action",)))


def test_files_are_sorted_by_key(tmp_path: Path):
    tasks = [Task(key=key, prompt="", form=Form(), strata={}) for key in ("fall-in-00-image", "fall-in-01-image")]
    for name in ("fall-in-00-image.mp4", "fall-in-01-image-0.mp4", "fall-in-01-image-12.webm", "notes.txt", "x.mp4"):
        (tmp_path / name).touch()
    found, extra = sort(tmp_path, tasks)
    assert [[p.name for p in of] for of in found] == [
        ["fall-in-00-image.mp4"],
        ["fall-in-01-image-0.mp4", "fall-in-01-image-12.webm"],
    ]
    assert [p.name for p in extra] == ["x.mp4"]


def test_given_frames_are_kept_and_strangers_noted(tmp_path: Path):
    given = np.full((1, 64, 64, 3), 200, np.uint8)
    task = Task(key="a", prompt="", form=Form(), strata={}, context=given)
    write.write(tmp_path / "a.mp4", np.zeros((25, 64, 64, 3), np.uint8), 8.0)
    frames, notes = clip(tmp_path / "a.mp4", task)
    assert np.array_equal(frames[:1], given) and frames[1].max() < 10
    assert "does not begin with the frames given" in notes[0]


def test_a_stopped_evaluation_draws_what_is_missing_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    form, drawn = Form(frames=2, height=4, width=4), []
    nobody = Pipeline(vae=None, network=None, spec=SPEC, patch=PATCH)
    jobs = [(Task(key=f"k{i}", prompt="p", form=form, strata={}), i) for i in range(60)]

    def draw(pipeline: Any, group: Any, sampling: Any) -> list[Any]:
        if len(drawn) == 2 and stop:
            raise KeyboardInterrupt
        drawn.append([seed for _, seed in group])
        return [np.full((2, 4, 4, 3), seed, np.uint8) for _, seed in group]

    def made(sampling: Any = _model.Sampling()) -> list[int]:  # noqa: B008
        return [int(clip[0, 0, 0, 0]) for clip in _model.sample(nobody, jobs, sampling, tmp_path)]

    monkeypatch.setattr(_model, "_drawn", draw)
    stop = True
    with pytest.raises(KeyboardInterrupt):
        made()
    stop = False
    assert made() == list(range(60)) and drawn == [[*range(24)], [*range(24, 48)], [*range(48, 60)]]
    next(tmp_path.glob("*.npz")).write_bytes(b"damaged")
    assert made() == list(range(60)) and len(drawn) == 4
    assert made(_model.Sampling(steps=3)) == list(range(60)) and len(drawn) == 7
