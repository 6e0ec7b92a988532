"""All stages of a build in their order, with what was done before taken from the ledger."""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data import manifest, shots
from worldpatch.data.captioners import Captioner
from worldpatch.data.curate import dedup, describe, encode, pack, probe, score, sources
from worldpatch.data.curate.ledger import Ledger
from worldpatch.data.curate.limits import verdict
from worldpatch.data.curate.records import Cut, File, Source
from worldpatch.data.curate.split import Settings, look, media, split
from worldpatch.data.engines import Failure
from worldpatch.video._atomic import atomic

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to build of which files, and who does the work. `vae` is an autoencoder's folder ("": no latents),
    `scorers` are names in `data/scorers/` with their options."""

    sources: tuple[str, ...]
    settings: Settings = field(default_factory=Settings)
    licence: str = ""
    copies: bool = False  # keep copies of one another
    scorers: dict[str, dict[str, Any]] = field(default_factory=dict)
    vae: str = ""
    per_shard: int = 500
    engine: str = "local"
    address: str = ""
    workers: int = 1
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A stretch of a file, and what became of it: kept, where `reason` is empty."""

    cut: Cut
    reason: str = ""
    copy_of: str = ""
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build came to: files that could not be used, decisions, and alarms about captions."""

    files: int
    unusable: tuple[tuple[str, str], ...]
    decisions: tuple[Decision, ...]
    alarms: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)  # of all workers, by what they did

    @property
    def kept(self) -> list[Decision]:
        return [d for d in self.decisions if not d.reason]


def build(plan: Plan, out: Path, captioner: Captioner | None = None, progress: Progress = lambda *_: None) -> Built:
    """Build a set in `out`, or go on with one. Returns what became of everything.

    Raises UserError where nothing was found, where the disk is full, where weights or extras are missing, and where a
    build of this folder is under way; what was done until then is kept. A file that cannot be used, and a worker that
    dies on it, are decisions.
    """
    manifest.import_pyarrow()
    shots.create(plan.settings.shots, plan.settings.weights, 24.0)  # what is missing is said before work begins
    for name, options in plan.scorers.items():
        score.check(name, options)
    wanted, problems = sources.discover(plan.sources, plan.licence)
    with Ledger(out / "ledger.jsonl") as ledger:
        work = _Work(plan, out / "work", ledger, progress)
        files, unusable = work.probed(wanted)
        decisions = work.split(files, unusable)
        decisions = work.scored(decisions, {f.sha256: s for s, f in files})
        decisions = decisions if plan.copies else work.without_copies(decisions, {f.sha256: f for _, f in files})
        kept = [d.cut.id for d in decisions if not d.reason]
        alarms = work.described(kept, captioner)
        work.encoded(kept)
        chosen = work.collected(decisions, files, captioner)
        work.packed(chosen, out)
        first = {k.cut.id: next(iter(k.captions.values()), "") for k in chosen}
        decisions = [dataclasses.replace(d, caption=first.get(d.cut.id, "")) for d in decisions]
        built = Built(
            files=len(wanted), unusable=(*problems, *unusable), decisions=tuple(decisions), alarms=tuple(alarms),
            seconds=work.seconds(files),
        )  # fmt: skip
    save(built, plan, out)
    return built


class _Work:
    """The stages, which share plan, folder and ledger."""

    def __init__(self, plan: Plan, folder: Path, ledger: Ledger, progress: Progress):
        self.plan, self.folder, self.ledger, self.progress = plan, folder, ledger, progress
        self.engine = config.resolve("data/engines", plan.engine)
        self.vae = encode.name(plan.vae) if plan.vae else ""

    def run(self, stage: str, function: Callable[[Any], Any], jobs: dict[str, Any], failed: Callable[[str], Any]):
        """Do those jobs (by key) that the ledger does not know; `failed` makes a value of a dead worker's reason."""
        todo = {key: job for key, job in jobs.items() if self.ledger.get(stage, key) is None}
        outcomes = self.engine.each(function, todo.values(), self.plan.workers, self.plan.address)
        for number, (key, outcome) in enumerate(zip(todo, outcomes, strict=True)):
            self.ledger.put(stage, key, failed(outcome.reason) if isinstance(outcome, Failure) else outcome)
            self.progress(stage, number + 1, len(todo))
        return {key: self.ledger.get(stage, key) for key in jobs}

    def probed(self, wanted: Iterable[Source]) -> tuple[list[tuple[Source, File]], list[tuple[str, str]]]:
        """The files that can be used, each content once; and (path, reason) of the others."""
        jobs = {_stamp(s.path): vars(s) for s in wanted}
        dead = {_stamp(s.path): s for s in wanted}
        values = self.run(
            "probe", probe.probe, jobs, lambda reason: {"path": "", "sha256": "", "bytes": 0, "reason": reason}
        )
        files, unusable, first = [], [], {}
        for key, source in dead.items():
            file = dataclasses.replace(config.build(File, values[key]), path=source.path)
            if not file.reason and file.sha256 in first:
                file = dataclasses.replace(file, reason=f"the same file as {first[file.sha256]}")
            if file.reason:
                unusable.append((file.path, file.reason))
            else:
                first[file.sha256] = file.path
                files.append((source, file))
        return files, unusable

    def split(self, files: list[tuple[Source, File]], unusable: list[tuple[str, str]]) -> list[Decision]:
        """Every stretch of every file, judged by its scores. Files that nothing was decoded of join the unusable."""
        same = {"settings": config.dump(self.plan.settings), "work": str(self.folder)}
        jobs = {self._split_key(f): {"file": config.dump(f), **same} for _, f in files}
        for key in jobs:
            if self._lacks_media(key):
                self.ledger.values.pop(("split", key))
        values = self.run(
            "split", split, jobs, lambda reason: {"cuts": [], "error": reason, "frames": 0, "seconds": {}}
        )
        decisions = []
        for _, file in files:
            value = values[self._split_key(file)]
            if value["error"]:
                unusable.append((file.path, value["error"]))
            decisions += [self._judged(config.build(Cut, cut)) for cut in value["cuts"]]
        return decisions

    def _split_key(self, file: File) -> str:
        return f"{file.sha256}:{self.plan.settings.fingerprint}"

    def _judged(self, cut: Cut) -> Decision:
        """By the limits of now: those the file was split with may have been others."""
        return Decision(cut=cut, reason=verdict(cut.scores, self.plan.settings.limits) if cut.scores else cut.reason)

    def _lacks_media(self, key: str) -> bool:
        """Whether a clip that is to be kept was not encoded then, or has been deleted since."""
        cuts = [config.build(Cut, cut) for cut in (self.ledger.get("split", key) or {"cuts": []})["cuts"]]
        return any(not media(self.folder, cut.id).exists() for cut in cuts if not self._judged(cut).reason)

    def scored(self, decisions: list[Decision], said: dict[str, Source]) -> list[Decision]:
        """With the scores of learned scorers, and judged by these."""
        for name, options in self.plan.scorers.items():
            stage, clips = f"score by {name}", [d for d in decisions if not d.reason]
            keys = {d.cut.id: score.key(d.cut.id, name, options, said[d.cut.file].caption) for d in clips}
            jobs = {
                keys[d.cut.id]: {
                    "id": d.cut.id, "work": str(self.folder), "scorer": name, "options": options,
                    "caption": said[d.cut.file].caption,
                }
                for d in clips
            }  # fmt: skip
            for key in jobs:
                if self.ledger.get(stage, key) == {}:  # an endpoint that was down may be up
                    self.ledger.values.pop((stage, key))
            values = self.run(stage, score.score, jobs, lambda reason: {})
            decisions = [
                self._judged(dataclasses.replace(d.cut, scores=d.cut.scores | values[keys[d.cut.id]]))
                if d.cut.id in keys else d
                for d in decisions
            ]  # fmt: skip
        return decisions

    def without_copies(self, decisions: list[Decision], files: dict[str, File]) -> list[Decision]:
        """With all but the best of copies of one another left out: the largest picture, the longest, the most bytes."""
        kept = [d.cut for d in decisions if not d.reason]
        entries = []
        for number, cut in enumerate(kept):
            with np.load(look(self.folder, cut.id)) as stored:
                thumbs = stored["thumbs"]
            file = files[cut.file]
            rank = float(file.height * file.width), cut.seconds, file.bytes / max(1, file.frames)
            entries.append(dedup.Entry(id=cut.id, file=cut.file, looks=thumbs, rank=rank))
            self.progress("copies", number + 1, len(kept))
        copies = dedup.duplicates(entries)
        return [
            dataclasses.replace(d, reason=f"a copy of {copies[d.cut.id]}", copy_of=copies[d.cut.id])
            if not d.reason and d.cut.id in copies else d
            for d in decisions
        ]  # fmt: skip

    def described(self, ids: list[str], captioner: Captioner | None) -> list[str]:
        if captioner is None:
            return []
        return describe.describe(
            ids, self.folder, captioner, self.ledger, lambda done, total: self.progress("captions", done, total)
        )

    def encoded(self, ids: list[str]) -> None:
        """Latents of all kept clips. Raises UserError where one cannot be made."""
        if not self.plan.vae:
            return
        jobs = {
            f"{i}:{self.vae}": {"id": i, "work": str(self.folder), "vae": self.plan.vae, "device": self.plan.device}
            for i in ids
        }
        for key in jobs:
            if not encode.latent(self.folder, key.split(":")[0], self.vae).exists():
                self.ledger.values.pop(("latents", key), None)
        values = self.run("latents", encode.encode, jobs, lambda reason: {"error": reason})
        wrong = {key: value["error"] for key, value in values.items() if value["error"]}
        for key, error in wrong.items():
            self.ledger.values.pop(("latents", key))
            raise UserError(f"clip {key.split(':')[0]} cannot be encoded: {error}")

    def collected(
        self, decisions: list[Decision], files: list[tuple[Source, File]], captioner: Captioner | None
    ) -> list[pack.Kept]:
        """The kept clips with all that is known of each."""
        by_file = {f.sha256: (s, f) for s, f in files}
        found = []
        for d in decisions:
            if d.reason:
                continue
            source, file = by_file[d.cut.file]
            captions = {"original": source.caption} if source.caption else {}
            answer = self.ledger.get("caption", describe.key(d.cut.id, captioner.name)) if captioner else None
            made = answer["captions"] if answer else {}
            captioners = {kind: captioner.name for kind in made} if captioner else {}
            found.append(
                pack.Kept(cut=d.cut, file=file, source=source, captions=captions | made, captioners=captioners)
            )
        return found

    def packed(self, kept: list[pack.Kept], out: Path) -> None:
        pack.pack(
            kept, out, self.folder, self.plan.settings.fingerprint, self.vae, self.plan.per_shard,
            lambda done, total: self.progress("shards", done, total),
        )  # fmt: skip

    def seconds(self, files: list[tuple[Source, File]]) -> dict[str, float]:
        spent: dict[str, float] = defaultdict(float)
        for _, file in files:
            for name, value in (self.ledger.get("split", self._split_key(file)) or {}).get("seconds", {}).items():
                spent[name] += value
        return {name: round(value, 2) for name, value in spent.items()}


def _stamp(path: str) -> str:
    """A file's name with size and time: another content, another stamp."""
    try:
        status = Path(path).stat()
        return f"{path}:{status.st_size}:{status.st_mtime_ns}"
    except OSError:
        return f"{path}:gone"


# ------------------------------------------------------------------------------------------------- what became of all


def save(built: Built, plan: Plan, out: Path) -> None:
    """Every decision, and the plan they were made by."""
    with atomic(out / "decisions.jsonl") as draft, draft.open("w") as file:
        head = {"plan": config.dump(plan), "built": {k: v for k, v in config.dump(built).items() if k != "decisions"}}
        file.write(json.dumps(head) + "\n")
        file.writelines(json.dumps(config.dump(d)) + "\n" for d in built.decisions)


def load(out: Path) -> tuple[Plan, Built]:
    """The last build of a folder. Raises UserError where there was none."""
    path = out / "decisions.jsonl"
    try:
        with path.open() as file:
            head = json.loads(file.readline())
            decisions = tuple(config.build(Decision, json.loads(line)) for line in file)
        return config.build(Plan, head["plan"]), Built(**_tuples(head["built"]), decisions=decisions)
    except FileNotFoundError:
        raise UserError(f"{out} holds no decisions.jsonl: it was not built from videos, or not to its end") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged or of another version ({error}): run the build again") from error


def _tuples(built: dict[str, Any]) -> dict[str, Any]:
    pairs = tuple((path, reason) for path, reason in built["unusable"])
    return {**built, "unusable": pairs, "alarms": tuple(built["alarms"])}


def funnel(built: Built) -> Iterator[tuple[str, int, float]]:
    """(why, clips, seconds) of what was left out, most seconds first, and at last of what was kept."""
    clips: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    for d in built.decisions:
        why = (d.reason or "kept").split(":")[0].split(" of ")[0]
        clips[why] += 1
        seconds[why] += d.cut.seconds
    for why in sorted(clips, key=lambda w: (w == "kept", -seconds[w])):
        yield why, clips[why], seconds[why]
