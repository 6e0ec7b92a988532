"""Twins differ in nothing but physics, and a model's preference is measured as it should be."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch import config
from worldpatch.cli import twins as command
from worldpatch.config import UserError
from worldpatch.evals.suites import twins
from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.twins import draw, kinds, likelihood, store, studio
from worldpatch.generate import pipeline
from worldpatch.train.stages import dit
from worldpatch.types import LatentSpec

SMALL = Form(height=32, width=32)
CROSSED = ("teleport", "colour", "cause")  # what begins as the one and ends as the other, and the reverse
CUT = ("teleport", "colour", "solidity", "cause")  # kinds whose twins are equal up to a moment


@pytest.fixture(scope="module")
def couples() -> dict[str, tuple[kinds.Pair, kinds.Pair]]:
    return {kind: kinds.couple(kind, 0, SMALL) for kind in kinds.KINDS}


def places(pair: kinds.Pair, twin: str, k: int = 0) -> np.ndarray:
    return studio.truth(getattr(pair, twin)).pose[:, k, :3].astype(float)


# ----------------------------------------------------------------------------------------------------------- the twins


def test_twins_are_equal_where_they_say_and_differ_elsewhere(couples):
    assert tuple(kinds.KINDS) == twins.KINDS
    for kind, drawn in couples.items():
        for pair in drawn:
            differ = studio.differing(pair.possible, pair.impossible)
            assert pair.same.start == 0 and not differ[pair.same].any(), kind
            assert differ[pair.same.stop], f"{kind}: equal for longer than it says"
            assert pair.possible.frames.shape == pair.impossible.frames.shape == (25, 32, 32, 3)
            assert studio.truth(pair.possible).objects == studio.truth(pair.impossible).objects
            assert kind not in CUT or pair.same.stop >= 3, kind


def test_a_couple_is_a_pure_function_of_its_number(couples):
    for kind in ("gravity", "colour"):
        again, other = kinds.couple(kind, 0, SMALL), kinds.couple(kind, 1, SMALL)
        for a, b, c in zip(couples[kind], again, other, strict=True):
            assert np.array_equal(a.possible.frames, b.possible.frames) and a.control == b.control
            assert np.array_equal(a.impossible.frames, b.impossible.frames)
            assert not np.array_equal(a.possible.frames, c.possible.frames)


def test_a_control_is_a_moment_of_difference_at_which_nothing_overlaps(couples):
    for kind, drawn in couples.items():
        for pair in drawn:
            assert studio.differing(pair.possible, pair.impossible)[pair.control], kind
            assert studio.apart(pair.possible, pair.impossible)[pair.control], kind
    through, past = couples["solidity"]
    overlap = ~studio.apart(through.possible, through.impossible)
    assert overlap.any() and through.control == past.control, "hidden in the one, hidden in the other"


def test_every_solid_is_in_the_picture_throughout(couples):
    for pair in (pair for drawn in couples.values() for pair in drawn):
        assert studio.in_frame(pair.possible) and studio.in_frame(pair.impossible)


def test_crossed_couples_show_the_same_frames_possible_and_impossible(couples):
    for kind in CROSSED:
        possible, impossible = (
            sorted(frame.tobytes() for pair in couples[kind] for frame in getattr(pair, twin).frames)
            for twin in store.TWINS
        )
        if kind != "cause":  # whose two solids are crossed, not its frames
            assert possible == impossible, kind
    for k in (0, 1):
        ways = [sorted(places(pair, t, k).tobytes() for pair in couples["cause"]) for t in store.TWINS]
        assert ways[0] == ways[1], "each solid moves just as often in each way"


def test_gravity_is_reversed(couples):
    for pair in couples["gravity"]:
        down, up = (np.diff(places(pair, twin)[:, 2], n=2) * SMALL.rate**2 for twin in store.TWINS)
        assert np.allclose(up, -down, atol=1e-3)
        heights = [np.sort(places(pair, twin)[:, 2])[[0, -1]] for twin in store.TWINS]
        assert heights[0] == pytest.approx(heights[1]), "between the same heights"
    flights = np.diff(places(couples["gravity"][0], "impossible")[:, 2], n=2) * SMALL.rate**2
    assert np.median(flights) == pytest.approx(9.81, abs=0.3), "mostly in flight"


@pytest.mark.parametrize("number", [0, 1])
def test_what_teleports_jumps(number: int):
    for pair in kinds.couple("teleport", number, SMALL):
        steady, jump = (np.linalg.norm(np.diff(places(pair, twin), axis=0), axis=-1).max() for twin in store.TWINS)
        assert steady < 0.1 and jump > 0.25


def test_colours_change(couples):
    for pair in couples["colour"]:
        change = np.abs(pair.possible.frames.astype(int) - pair.impossible.frames).max((1, 2, 3))
        assert change[0] == 0 and change[-1] > 60
        assert np.array_equal(places(pair, "possible"), places(pair, "impossible"))


def test_energy_comes_from_nothing(couples):
    bounces, slides = couples["energy"]
    falling, growing = (places(bounces, twin)[:, 2] for twin in store.TWINS)
    middle = slice(8, 16)
    assert falling[middle].max() > falling[16:].max() and growing[middle].max() < growing[16:].max()
    slowing, speeding = (np.abs(np.diff(places(slides, twin)[:, 0])) for twin in store.TWINS)
    assert (np.diff(slowing) < 0).all() and np.allclose(slowing, speeding[::-1], atol=1e-5)


def test_bounces_are_free_flights_between_touches():
    times = np.arange(0, 2, 1e-3)
    height = kinds._bouncing(times, np.array([0.8, 0.5, 0.9, 0.4, 0.4, 0.4]), 0.2)
    flight = np.diff(height, n=2) / 1e-6
    assert np.median(flight) == pytest.approx(-9.81, abs=1e-3) and (flight < -9.8).mean() > 0.99
    assert height.min() >= -1e-9 and height[200] == pytest.approx(0, abs=1e-6)
    assert height[200:800].max() == pytest.approx(0.5, abs=1e-3) and height[900:1600].max() == pytest.approx(
        0.9, abs=1e-3
    )


def test_solids_pass_through_each_other_or_shy_at_nothing(couples):
    lane, apart = couples["solidity"]
    sides = {t: np.sign(places(lane, t)[:, 0] - places(lane, t, 1)[:, 0]) for t in store.TWINS}
    assert len(set(sides["possible"])) == 1 and sides["impossible"][0] == -sides["impossible"][-1]
    sides = {t: np.sign(places(apart, t)[:, 0] - places(apart, t, 1)[:, 0]) for t in store.TWINS}
    assert len(set(sides["impossible"])) == 1 and sides["possible"][0] == -sides["possible"][-1]
    depth = [np.abs(places(pair, "possible")[:, 1] - places(pair, "possible", 1)[:, 1]) for pair in (lane, apart)]
    assert depth[0].max() < 1e-6 and depth[1].min() > 0.4


def test_the_effect_comes_before_the_cause_or_long_after(couples):
    def touches(pair: kinds.Pair, twin: str) -> int:
        return int(np.argmin(np.abs(np.diff(places(pair, twin)[:, 0])) > 1e-3))

    def leaves(pair: kinds.Pair, twin: str) -> int:
        return int(np.argmax(np.abs(places(pair, twin, 1)[:, 0] - places(pair, twin, 1)[0, 0]) > 1e-3))

    early, late = couples["cause"]
    for pair in (early, late):
        assert abs(touches(pair, "possible") - leaves(pair, "possible")) <= 2
    assert leaves(early, "impossible") >= leaves(early, "possible") + 4
    assert leaves(late, "impossible") <= leaves(late, "possible") - 4


def test_time_is_reversed(couples):
    for pair in couples["time"]:
        assert np.array_equal(pair.impossible.frames, pair.possible.frames[::-1])


def test_clips_too_short_for_physics_are_refused():
    with pytest.raises(UserError, match="0.5 s cannot be staged"):
        kinds.couple("gravity", 0, Form(frames=5))


# ------------------------------------------------------------------------------------------------------------- on disk


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose usual clip is long enough for twins."""
    return builders.exported(tmp_path_factory.mktemp("model"), steps=7)


@pytest.fixture(scope="module")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One couple of every kind, encoded."""
    folder = tmp_path_factory.mktemp("twins") / "set"
    twins.build(folder, pipeline.load_vae(model), pairs=2, form=SMALL, workers=0)
    return folder


def test_what_is_built_can_be_loaded(built: Path, model: Path, couples):
    vae = pipeline.load_vae(model)
    found = twins.load(built, vae.spec)
    expected = [kind for kind in twins.KINDS for _ in (0, 1)]
    assert [trial.kind for trial in found.twins] == [trial.kind for trial in found.controls] == expected
    assert found.form == SMALL and found.version == store.version()
    for i, (trial, image) in enumerate(zip(found.twins, found.controls, strict=True)):
        pair = couples[trial.kind][i % 2]
        assert trial.possible.shape == trial.impossible.shape == (16, 7, 4, 4) and image.possible.shape == (16, 1, 4, 4)
        frames = torch.from_numpy(pair.impossible.frames).movedim(-1, 0)[None].float() / 127.5 - 1
        with torch.no_grad():
            whole, alone = vae.encode(frames)[0], vae.encode(frames[:, :, pair.control, None])[0]
        assert torch.allclose(trial.impossible.float(), whole, atol=1e-2)
        assert torch.allclose(image.impossible.float(), alone, atol=1e-2)


def test_a_build_goes_on_where_it_was(built: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
    staged: list[Any] = []
    monkeypatch.setattr(kinds, "staged", lambda job: staged.append(job))
    twins.build(built, pipeline.load_vae(model), pairs=2, form=SMALL, workers=0)
    assert not staged, "all is there"
    monkeypatch.setattr(kinds, "staged", lambda job: staged.append(job) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        twins.build(built, pipeline.load_vae(model), pairs=4, form=SMALL, workers=0)
    assert staged == [("gravity", 1, SMALL)], "the first that is missing"
    with pytest.raises(UserError, match="3 pairs of each kind are not couples"):
        twins.build(built, pipeline.load_vae(model), pairs=3, form=SMALL)


def test_a_set_of_another_kind_is_refused(built: Path, model: Path):
    vae = pipeline.load_vae(model)
    with pytest.raises(UserError, match="other twins .form, autoencoder or version"):
        twins.build(built, vae, form=Form())
    other = dataclasses.replace(vae.spec, later_std=(2.0,) * 16)
    with pytest.raises(UserError, match="another autoencoder"):
        twins.load(built, other)


def test_what_is_no_set_of_twins_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="holds no twins .twins.json is missing"):
        twins.load(tmp_path, builders.SPEC)
    builders.twins(tmp_path, pairs=2)
    (tmp_path / "twins.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        twins.load(tmp_path, builders.SPEC)
    (tmp_path / "twins.json").write_text("{}")
    with pytest.raises(UserError, match="lacks form, spec, version"):
        twins.load(tmp_path, builders.SPEC)


def test_an_incomplete_set_is_refused(tmp_path: Path):
    builders.twins(tmp_path, pairs=2, left_out=1)
    with pytest.raises(UserError, match="27 twins, not couples of every kind"):
        twins.load(tmp_path, builders.SPEC)


# ----------------------------------------------------------------------------------------------------------- preference


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> twins.TwinSet:
    """Twelve pairs of every kind, of random latents."""
    return twins.load(builders.twins(tmp_path_factory.mktemp("random"), pairs=12), builders.SPEC)


HOW: dict[str, Any] = {"spec": builders.SPEC, "patch": builders.PATCH}


class Asked:
    """A network that remembers what it was asked, and answers by a rule."""

    def __init__(self, rule: Any = None):
        self.text, self.rule = self, rule or (lambda x, time: torch.zeros_like(x))
        self.prompts: list[str] = []
        self.seen: list[tuple[torch.Tensor, float]] = []
        self.passes = 0

    def encode(self, prompts: list[str]) -> tuple[torch.Tensor, tuple[int, ...]]:
        self.prompts += prompts
        return torch.zeros(0, 1), (0,) * len(prompts)

    def dit(self, x, position, times, index, segments, cond):
        self.passes += 1
        answer = torch.empty_like(x)
        for s in segments:
            time = float(times[index[s.start]])
            self.seen.append((x[s.start : s.stop], time))
            answer[s.start : s.stop] = self.rule(x[s.start : s.stop], time)
        return answer


def oracle(trials: Sequence[twins.Trial]) -> Asked:
    """Knows every possible latent, and holds what it sees for the noised version of the nearest of them."""
    known = [builders.patchify(trial.possible.float(), builders.PATCH) for trial in trials]

    def velocity(x: torch.Tensor, time: float) -> torch.Tensor:
        clean = min(known, key=lambda k: float((x - (1 - time) * k).square().sum()))
        return (x - clean) / time

    return Asked(velocity)


def test_an_oracle_always_prefers_the_possible(found: twins.TwinSet):
    loud = [dataclasses.replace(t, possible=50 * t.possible, impossible=50 * t.impossible) for t in found.twins]
    shares = twins.preference(oracle(loud), loud, **HOW)
    assert {kind: share.preferred for kind, share in shares.items()} == dict.fromkeys(twins.KINDS, 1.0)
    swapped = [dataclasses.replace(t, possible=t.impossible, impossible=t.possible) for t in loud]
    assert all(share.preferred == 0.0 for share in twins.preference(oracle(loud), swapped, **HOW).values())


def test_who_does_not_look_prefers_neither(found: twins.TwinSet):
    share = twins.pooled(twins.preference(Asked(), found.twins, **HOW).values())
    low, high = share.interval
    assert share.couples == 42 and low < 0.5 < high
    equal = [dataclasses.replace(t, impossible=t.possible) for t in found.twins]
    assert all(share.preferred == 0.5 for share in twins.preference(Asked(), equal, **HOW).values())


def test_twins_share_their_noise_and_time(found: twins.TwinSet):
    network, trials = Asked(), found.twins[:3]
    twins.losses(network, trials, **HOW, times=2)
    assert len(network.seen) == 3 * 2 * 2
    for i, trial in enumerate(trials):
        difference = builders.patchify(trial.impossible.float() - trial.possible.float(), builders.PATCH)
        for k in range(2):
            (a, time), (b, same) = network.seen[4 * i + 2 * k : 4 * i + 2 * k + 2]
            assert time == same and torch.allclose(b - a, (1 - time) * difference, atol=1e-5)


def test_times_are_evenly_spread():
    couples = [(kind, number) for number in range(8) for kind in ("a", "b") for _ in (0, 1)]
    when = likelihood.stratified(couples, times=3)
    assert np.array_equal(when[0::2], when[1::2]), "a couple shares its times"
    a, b = when[0::4], when[2::4]
    for of in (a, b):
        assert np.allclose(np.sort(of.ravel()), (np.arange(24) + 0.5) / 24)
    assert ((when * 3).astype(int) == np.arange(3)).all(), "each pair meets every third"
    assert not np.array_equal(a, b) and not np.array_equal(np.sort(a[:, 0]), a[:, 0])


def test_a_couple_has_one_vote():
    def trial(possible: float, impossible: float, couple: int) -> twins.Trial:
        latents = [torch.full((builders.CHANNELS, 2, 2, 2), float(value)) for value in (possible, impossible)]
        return twins.Trial(kind="time", couple=couple, rate=8.0, possible=latents[0], impossible=latents[1])

    # A network that predicts zero has the larger loss on the louder latent.
    dear = [trial(9, 2, 0), trial(2, 99, 0), trial(7, 7, 1), trial(7, 7, 1)]
    calm = Asked(lambda x, time: torch.zeros_like(x))
    share = twins.preference(calm, dear[:2], **HOW)["time"]
    assert (share.couples, share.preferred) == (1, 1.0), "a dear possible twin is outweighed"
    assert twins.preference(calm, dear[2:], **HOW)["time"].preferred == 0.5, "nothing to choose"


def test_company_changes_no_loss(found: twins.TwinSet, monkeypatch: pytest.MonkeyPatch):
    module = config.resolve("text", "bytepair")
    network = torch.nn.Module()
    torch.manual_seed(0)
    options = {"vocabulary": 300, "width": builders.TEXT_WIDTH, "depth": 1, "heads": 2, "max_tokens": 32}
    network.text, network.dit = module.create(options, builders.CAPTIONS), builders.backbone()
    together = twins.losses(network, found.twins[:6], **HOW)
    monkeypatch.setattr(likelihood, "TOKENS", 1)
    assert torch.allclose(together, twins.losses(network, found.twins[:6], **HOW), atol=1e-4)
    told = twins.losses(network, found.twins[:6], **HOW, caption="a red ball falls")
    assert not torch.allclose(together, told, atol=1e-4)


def test_the_caption_is_empty_unless_given(found: twins.TwinSet):
    plain, told = Asked(), Asked()
    twins.losses(plain, found.twins[:2], **HOW)
    twins.losses(told, found.twins[:2], **HOW, caption="a table")
    assert set(plain.prompts) == {""} and set(told.prompts) == {"a table"}


def test_few_tokens_go_through_at_a_time(found: twins.TwinSet, monkeypatch: pytest.MonkeyPatch):
    network = Asked()
    tokens = found.twins[0].possible[0].numel() // int(np.prod(builders.PATCH))
    monkeypatch.setattr(likelihood, "TOKENS", 5 * tokens)
    twins.losses(network, found.twins[:4], **HOW)
    assert network.passes == 2, "eight clips, five at a time"


@pytest.mark.parametrize(
    ("preferred", "couples", "low", "high"), [(0.5, 64, 0.381, 0.619), (1.0, 64, 0.943, 1.0), (0.0, 10, 0.0, 0.278)]
)
def test_wilsons_interval(preferred: float, couples: int, low: float, high: float):
    assert twins.Share(preferred=preferred, couples=couples).interval == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize("evaluations", [28, 40, 60, 168, 200, 336, 1000])
def test_within_a_cost(found: twins.TwinSet, evaluations: int):
    part, network = found.within(evaluations), Asked()
    twins.score(network, part, patch=builders.PATCH)
    assert len(network.seen) == 2 * (len(part.twins) + len(part.controls)) <= evaluations
    assert len(part.twins) == 14 * min(6, evaluations // 28), "of every kind equally many"
    if evaluations >= 336:
        assert len(part.controls) == 84
    if part.controls:
        assert "control" in twins.score(network, part, patch=builders.PATCH)


# -------------------------------------------------------------------------------------------------- a run and a command


def test_a_training_run_logs_its_physics_at_the_cost_of_a_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    options = builders.dit_options(tmp_path)
    spec = config.build(LatentSpec, json.loads((tmp_path / "vae" / "vae.json").read_text())["spec"])
    options["twins"] = str(builders.twins(tmp_path / "twins", pairs=12, spec=spec))
    counts = []
    for twins_too in (False, True):
        chosen = options if twins_too else {**options, "twins": ""}
        task = dit.Task(config.build(dit.Config, chosen), 0, "cpu")
        asked: list[int] = []
        inner = task.model.dit.forward
        monkeypatch.setattr(
            task.model.dit, "forward",
            lambda *a, inner=inner, asked=asked: asked.append(1 + max(s.sample for s in a[4])) or inner(*a),
        )  # fmt: skip
        with torch.no_grad():
            figures = task.validate(task.model)
        counts.append(sum(asked))
    expected = {f"physics/{name}" for name in (*twins.KINDS, "mean", "control")}
    assert {name for name in figures if name.startswith("physics/")} == expected
    assert all(0 <= figures[name] <= 1 for name in expected)
    validation = counts[0]
    assert 0 < counts[1] - validation <= validation


def test_another_autoencoder_is_refused_before_training(tmp_path: Path):
    other = dataclasses.replace(builders.SPEC, later_std=(2.0,) * builders.CHANNELS)
    folder = builders.twins(tmp_path / "twins", pairs=2, spec=other)
    options = builders.dit_options(tmp_path) | {"twins": str(folder)}
    with pytest.raises(UserError, match="another autoencoder"):
        dit.Task(config.build(dit.Config, options), 0, "cpu")


def test_the_command_writes_a_report(built: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "log.jsonl").write_text(
        '{"step": 1, "loss": 2.0}\n{"step": 500, "physics/mean": 0.5, "physics/time": null}\n'
    )
    command.twins(
        str(model), tmp_path / "out", data=built, pairs=2, times=2, run=tmp_path, workers=0, device_="cpu", quiet=True
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["kinds"]) == list(twins.KINDS) and report["times"] == 2 and report["caption"] == ""
    assert report["mean"]["twins"]["couples"] == report["mean"]["control"]["couples"] == 7
    assert all((tmp_path / "out" / name).stat().st_size > 5000 for name in ("preference.png", "sheet.png", "curve.png"))
    table = capsys.readouterr().out
    assert table == twins.table(report) and all(kind in table for kind in twins.KINDS)


def test_bad_flags_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="pairs 1 must be at least 2"):
        command.twins("tabletop", tmp_path, pairs=1)


def test_a_curve_needs_figures(tmp_path: Path):
    with pytest.raises(UserError, match="holds no log.jsonl"):
        draw.curve(tmp_path, tmp_path / "curve.png")
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    with pytest.raises(UserError, match="no figures of physics.*options.twins"):
        draw.curve(tmp_path, tmp_path / "curve.png")
