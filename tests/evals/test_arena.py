"""The arena: which clips meet, in which order, what the log says in the end, and what the page may and may not get."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests import builders
from worldpatch.config import UserError
from worldpatch.evals.arena.gallery import Gallery, key, read_manifest
from worldpatch.evals.arena.report import Report, report
from worldpatch.evals.arena.schedule import APART, EVERY
from worldpatch.evals.arena.server import PAGE, app
from worldpatch.evals.arena.session import Session, Verdict, gather
from worldpatch.generate import preferences
from worldpatch.generate.preferences import Preference, Rival

PROMPTS = 6


def folder(path: Path, first: int = 0, clips: int = PROMPTS) -> Path:
    """A folder of clips of its own grey, one for each prompt."""
    for i in range(first, first + clips):
        builders.film(path / f"clip-{i}.mp4", 40 * len(path.name) + i, prompt=f"prompt {i}", model=path.name)
    return path


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("clips")
    return [folder(home / name) for name in ("a", "bb", "ccc")]


@pytest.fixture
def two(three: list[Path]) -> list[Path]:
    return three[:2]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def judged(session: Session, verdict: Verdict = "left", count: int = 1000) -> list[Preference]:
    """The session's next turns, up to `count`, all judged alike."""
    while session.turn is not None and count:
        session.record(verdict)
        count -= 1
    return session.history


# --------------------------------------------------------------------------------------------------------- the gallery


def test_clips_of_one_name_meet_and_recipes_tell_the_prompt(three: list[Path]):
    gallery = Gallery(three)
    assert [scene.prompt for scene in gallery.scenes] == [f"prompt {i}" for i in range(PROMPTS)]
    assert len(gallery.pairs) == 3 * PROMPTS and not gallery.notes
    assert {pair.names for pair in gallery.pairs} == {frozenset(n) for n in (("a", "bb"), ("a", "ccc"), ("bb", "ccc"))}


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path: Path):
    films = [builders.film(tmp_path / name / "clips" / "x.mp4", i) for i, name in enumerate(("old", "new"))]
    (pair,) = Gallery([film.parent for film in films]).pairs
    assert pair.names == {"old/clips", "new/clips"}


def test_what_is_alone_or_the_same_twice_is_not_shown(tmp_path: Path):
    left, right = folder(tmp_path / "a", clips=3), folder(tmp_path / "bb", first=1, clips=3)
    (right / "clip-2.mp4").write_bytes((left / "clip-2.mp4").read_bytes())
    gallery = Gallery([left, right])
    assert [pair.prompt for pair in gallery.pairs] == ["prompt 1"]
    assert gallery.notes == [
        "clips without a counterpart in another folder: 2",
        "pairs that are the same file twice: 1",
    ]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_a_manifest_tells_the_prompts(tmp_path: Path, two: list[Path], suffix: str):
    table = {f"clip-{i}.mp4" if i % 2 else f"clip-{i}": f"said {i}" for i in range(PROMPTS)}
    lines = "".join(json.dumps({"clip": clip, "prompt": prompt}) + "\n" for clip, prompt in table.items())
    manifest = tmp_path / f"prompts.{suffix}"
    manifest.write_text(json.dumps(table) if suffix == "json" else lines)
    assert [scene.prompt for scene in Gallery(two, manifest).scenes] == [f"said {i}" for i in range(PROMPTS)]


def test_with_manifests_of_their_own_clips_meet_by_prompt(tmp_path: Path):
    left, right = folder(tmp_path / "a", clips=3), folder(tmp_path / "bb", first=7, clips=3)
    said = ["x", "y", "x"]
    for path, first in ((left, 0), (right, 7)):
        (path / "manifest.json").write_text(json.dumps({f"clip-{first + i}.mp4": said[i] for i in range(3)}))
    met = {(p.prompt, Path(p.first.path).stem, Path(p.second.path).stem) for p in Gallery([left, right]).pairs}
    assert met == {("x", "clip-0", "clip-7"), ("y", "clip-1", "clip-8"), ("x", "clip-2", "clip-9")}


def test_clips_of_nobody_knows_what_are_called_by_their_names(tmp_path: Path):
    for i, name in enumerate(("a", "b")):
        builders.film(tmp_path / name / "red_ball-falls.mp4", i, prompt=None)
    (scene,) = Gallery([tmp_path / "a", tmp_path / "b"]).scenes
    assert scene.prompt == "red ball falls"


def test_folders_that_cannot_be_compared(tmp_path: Path, two: list[Path]):
    (tmp_path / "empty").mkdir()
    other = builders.film(tmp_path / "other" / "clip-0.mp4", prompt="something else").parent
    alone = builders.film(tmp_path / "alone" / "clip-99.mp4").parent
    (damaged := tmp_path / "damaged").mkdir()
    (damaged / "clip-0.mp4").write_text("no video")
    for folders, message in (
        (two[:1], "1 folders cannot be compared"),
        ([two[0], two[0]], "named twice"),
        ([two[0], tmp_path / "missing"], "is no folder"),
        ([two[0], tmp_path / "empty"], "holds no MP4"),
        ([two[0], alone], "no two of"),
        ([two[0], damaged], r"damaged/clip-0\.mp4"),
        ([two[0], other], "different prompts"),
    ):
        with pytest.raises(UserError, match=message):
            Gallery(folders)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, two: list[Path]):
    (linked := tmp_path / "linked").mkdir()
    (linked / "clip-0.mp4").symlink_to(two[0] / "clip-0.mp4")
    with pytest.raises(UserError, match="leads out of its folder"):
        Gallery([two[1], linked])


@pytest.mark.parametrize("text", ["", "[1]", '{"a.mp4": 3}', '{"a.mp4": "\\ud800"}'])
def test_a_bad_manifest_is_refused(tmp_path: Path, two: list[Path], text: str):
    (tmp_path / "prompts.json").write_text(text)
    with pytest.raises(UserError, match="is no manifest"):
        read_manifest(tmp_path / "prompts.json")
    (tmp_path / "prompts.json").write_text("{}")
    with pytest.raises(UserError, match="does not name .*clip-0"):
        Gallery(two, tmp_path / "prompts.json")


# -------------------------------------------------------------------------------------------------------- the schedule


def test_every_pair_comes_and_a_few_come_again_with_their_sides_swapped(three: list[Path], log: Path):
    session = Session(Gallery(three), log, "anna")
    history = judged(session)
    times = Counter(key(p.rivals) for p in history)
    repeats = -(-len(session.gallery.pairs) // EVERY)
    assert set(times) == session.gallery.keys and Counter(times.values()) == {1: len(times) - repeats, 2: repeats}
    assert len(history) == session.schedule.total
    for again in (k for k, count in times.items() if count == 2):
        first, second = (i for i, p in enumerate(history) if key(p.rivals) == again)
        assert second - first > APART
        assert history[second].rivals == history[first].rivals[::-1]


def test_the_least_compared_come_first(three: list[Path], log: Path):
    session, met = Session(Gallery(three), log, "anna"), Counter()
    for number, p in enumerate(judged(session, count=EVERY)):
        met[frozenset(clip.model for clip in p.rivals)] += 1
        assert max(met.values()) <= number // 3 + 1
    fresh = Session(session.gallery, log, "ben")
    assert fresh.turn and key((fresh.turn.left, fresh.turn.right)) not in {key(p.rivals) for p in session.history}


def test_sides_are_drawn(three: list[Path], log: Path):
    lefts = Counter(p.rivals[0].model for judge in "pqrst" for p in judged(Session(Gallery(three), log, judge)))
    assert all(0.2 < count / lefts.total() < 0.47 for count in lefts.values())


def test_the_seed_decides_the_order(two: list[Path], tmp_path: Path):
    orders = [
        [[r.sha256 for r in p.rivals] for p in judged(Session(Gallery(two), tmp_path / f"{i}.jsonl", "anna", seed))]
        for i, seed in enumerate((0, 0, 1))
    ]
    assert orders[0] == orders[1] != orders[2]


# --------------------------------------------------------------------------------------------------------- the session


def test_a_session_that_is_stopped_goes_on_as_if_it_had_not_been(two: list[Path], tmp_path: Path):
    whole = judged(Session(Gallery(two), tmp_path / "whole.jsonl", "anna"))
    while judged(session := Session(Gallery(two), tmp_path / "halting.jsonl", "anna"), count=1) and session.turn:
        pass
    assert [p.rivals for p in session.history] == [p.rivals for p in whole]
    assert Session(Gallery(two), tmp_path / "whole.jsonl", "ben").turn is not None, "each judge has turns of their own"


def test_undo_brings_the_same_pair_back(two: list[Path], log: Path):
    session = Session(Gallery(two), log, "anna")
    judged(session, count=4)
    before = session.turn
    session.record("both bad")
    session.undo()
    assert session.turn == before and Session(Gallery(two), log, "anna").turn == before
    for _ in range(4):
        session.undo()
    with pytest.raises(UserError, match="no judgement to take back"):
        session.undo()
    assert preferences.read(log) == []


def test_the_end(two: list[Path], log: Path):
    session = Session(Gallery(two), log, "anna")
    judged(session)
    assert session.turn is None and session.following is None
    with pytest.raises(UserError, match="every pair is judged"):
        session.record("left")
    with pytest.raises(UserError, match="no name"):
        Session(session.gallery, log, " ")


def test_judgements_of_changed_files_do_not_count(tmp_path: Path, log: Path):
    folders = [folder(tmp_path / name) for name in ("a", "bb")]
    judged(Session(Gallery(folders), log, "anna"))
    builders.film(folders[0] / "clip-0.mp4", 250, prompt="prompt 0")
    session = Session(Gallery(folders), log, "anna")
    assert session.turn and session.turn.prompt == "prompt 0"
    found = session.report()
    assert found.prompts == PROMPTS - 1
    assert any("other files: 1" in note or "other files: 2" in note for note in found.notes)


# ---------------------------------------------------------------------------------------------------------- the report


def by_taste(session: Session, better: str) -> Report:
    """A judge who always picks one folder's clips, on whichever side."""
    while turn := session.turn:
        session.record("left" if turn.left.model == better else "right" if turn.right.model == better else "tie")
    return session.report()


def test_a_judge_with_a_taste_is_steady(three: list[Path], log: Path):
    found = by_taste(Session(Gallery(three), log, "anna"), "bb")
    assert found.names[0] == "bb" and found.totals("bb") == (2 * PROMPTS, 0, 0) and found.totals("a") == (0, 6, 6)
    (judge,) = found.judges
    assert judge.repeated == judge.alike == 3 and judge.reversed == 0
    assert 0 < judge.left < judge.picks
    assert "repetitions, which measure the judges and are not rated: 3" in found.notes
    assert "fewer than 20 prompts: go by the wider of the two intervals" in found.notes


def test_a_judge_who_always_says_left_is_not(two: list[Path], log: Path):
    session = Session(Gallery(two), log, "anna")
    judged(session, "left")
    (judge,) = session.report().judges
    assert (judge.repeated, judge.alike, judge.reversed) == (1, 0, 1) and judge.left == judge.picks == PROMPTS + 1


def test_the_table_and_the_file_say_the_same(three: list[Path], log: Path, tmp_path: Path):
    found = by_taste(Session(Gallery(three), log, "anna"), "bb")
    found.save(tmp_path / "ratings.json")
    values = json.loads((tmp_path / "ratings.json").read_text())
    table = found.table()
    assert [r["name"] for r in values["fit"]["ratings"]] == found.names
    for rating in values["fit"]["ratings"]:
        won, tied, lost = found.totals(rating["name"])
        assert re.search(rf"\| {rating['name']} \| {rating['value']:.0f} \|.*\| {won} \| {tied} \| {lost} \|", table)
    assert re.search(r"\| bb \|.*\| 6 / 0 / 0 \|", table)
    assert values["judges"][0]["summary"] in table


def pick(left: str, right: str, **more) -> Preference:
    """Somebody's pick of the left one of two files, named after their models."""
    rivals = tuple(Rival(path=f"{name}.mp4", sha256=name, model=name.rstrip("0123456789")) for name in (left, right))
    return Preference(prompt="p", rivals=rivals, picked=0, judge="me", source="generate", **more)


def test_imported_picks_count_once_where_models_differ(two: list[Path], log: Path):
    imported = [pick("a1", "other"), pick("a1", "a2")]
    session = Session(Gallery(two), log, "anna", imported=[*imported, *imported])
    judged(session)
    found = session.report()
    assert found.judgements == PROMPTS + 1 and set(found.names) == {"a", "bb", "other"}
    assert "pairs of one model, which do not compare models: 1" in found.notes


def test_no_ratings_without_a_common_scale():
    found = report([pick("a", "b"), pick("c", "d")])
    assert found.fit is None and "{a, b} and {c, d} were never compared" in found.reason
    assert "No ratings: {a, b}" in found.table() and found.totals("c") == (1, 0, 0)
    assert "nothing to rate" in report([]).table()


def test_without_a_gallery_the_whole_log_counts(two: list[Path], log: Path):
    judged(Session(Gallery(two), log, "anna"))
    preferences.append(log, pick("a", "old"))
    assert len(gather(log)[0]) == len(gather(log, Gallery(two))[0]) + 1


# ------------------------------------------------------------------------------------------------------------ the page


@pytest.fixture
def page(two: list[Path], log: Path) -> TestClient:
    return TestClient(app(Session(Gallery(two), log, "anna"), log.with_name("ratings.json")), "http://127.0.0.1")


def say(page: TestClient, verdict: str, number: int) -> dict:
    answer = page.post("/judgements", json={"number": number, "verdict": verdict})
    assert answer.status_code == 200
    return answer.json()


def test_a_whole_session_by_http(page: TestClient, log: Path):
    state = page.get("/state").json()
    assert (state["number"], state["total"]) == (0, PROMPTS + 1)
    for number in range(PROMPTS + 1):
        assert state["turn"]["prompt"].startswith("prompt ")
        assert len(preferences.read(log)) == number, "each judgement is on the disk before the next pair comes"
        ahead = state["ahead"]
        state = say(page, "right", number)
        assert not state["turn"] or ahead == [state["turn"]["left"], state["turn"]["right"]]
    assert state["turn"] is None and state["number"] == state["total"]
    found = page.get("/report").json()
    assert {r["name"] for r in found["fit"]["ratings"]} == {"a", "bb"}
    assert json.loads(log.with_name("ratings.json").read_text()) == found


def test_names_stay_hidden_until_the_end(page: TestClient, two: list[Path]):
    state = say(page, "tie", 0)
    answers = [page.get(path) for path in ("/state", "/", state["turn"]["left"])]
    for answer in answers:
        said = json.dumps(dict(answer.headers)) + (answer.text if "video" not in answer.headers["content-type"] else "")
        assert "bb" not in re.split(r"\W+", said) and str(two[0]) not in said and "clip-" not in said


def test_clips_are_served_whole_and_in_ranges(page: TestClient, two: list[Path]):
    address = page.get("/state").json()["turn"]["left"]
    whole = page.get(address)
    assert whole.headers["content-type"] == "video/mp4" and whole.headers["accept-ranges"] == "bytes"
    assert whole.content in {path.read_bytes() for home in two for path in home.iterdir()}
    part = page.get(address, headers={"Range": "bytes=5-14"})
    assert part.status_code == 206 and part.content == whole.content[5:15]
    assert part.headers["content-range"] == f"bytes 5-14/{len(whole.content)}"
    assert page.get(address, headers={"Range": "bytes=999999-"}).status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/clips/nothing", "/clips/clip-0.mp4", "/clips/../../server.py", "/clips/%2e%2e%2flog.jsonl", "/clips/",
        "/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/%2e%2e%2f%2e%2e%2fserver.py", "//etc/passwd",
        "/%2fetc%2fpasswd", "/docs", "/openapi.json",
    ],
)  # fmt: skip
def test_nothing_else_is_served(page: TestClient, path: str):
    import httpx2

    url = httpx2.URL("http://127.0.0.1/").copy_with(raw_path=path.encode())  # as it stands, not tidied up
    answer = page.get(url)
    assert answer.status_code == 404 and "import" not in answer.text and "root:" not in answer.text


def test_other_sites_and_other_hosts_get_nothing(page: TestClient, log: Path):
    assert page.get("/state", headers={"Host": "example.org"}).status_code == 400
    forged = '{"number": 0, "verdict": "left"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded"):  # what a page may send anywhere without asking
        assert page.post("/judgements", content=forged, headers={"Content-Type": kind}).status_code == 422
    assert not log.exists()


def test_moves_that_do_not_fit_are_refused(page: TestClient):
    say(page, "left", 0)
    late = page.post("/judgements", json={"number": 0, "verdict": "left"})
    assert late.status_code == 409, "pressed twice, or on another page"
    assert page.post("/judgements", json={"number": 1, "verdict": "middle"}).status_code == 422
    assert page.post("/undo", json={"number": 1}).json()["number"] == 0
    nothing = page.post("/undo", json={"number": 0})
    assert nothing.status_code == 400 and "no judgement" in nothing.json()["detail"]


def test_the_page_needs_nothing_from_elsewhere(page: TestClient):
    for path in PAGE.iterdir():
        answer = page.get(f"/{path.name}")
        assert answer.status_code == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
        addresses = set(re.findall(r"https?://[^\s\"'`)]+|//\w+\.[^\s\"'`)]+", answer.text))
        assert addresses <= {"http://www.w3.org/2000/svg"}
    html = page.get("/").text
    ids = set(re.findall(r'\$\("([\w-]+)"\)', (PAGE / "arena.js").read_text()))
    assert ids <= set(re.findall(r'id="([\w-]+)"', html)), "the script asks for elements that are there"
