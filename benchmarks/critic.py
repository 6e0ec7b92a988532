"""How much does the critic help, and what does it cost? On frozen prompts that nothing of it was tuned on.

    python benchmarks/critic.py [MODEL] [--short] [--prompts 48] [--sheet out/critic.png] [--cache DIR] [-o result.md]

Limits and policy were set on even prompts of level 2 and on renders of seed 888001; here are odd prompts of both levels
and renders of seed 999001. All contestants choose among the same eight clips of a prompt. The judge is that of the
suites, which looks through the same detectors as the critic. Three things that the critic does not see: how much the
real clip moves, which is one of the judge's criteria; what the video encoder's heads say, a second judge that shares
neither rules nor weights with the detectors; and what a person sees in the sheet, where the first clip and the critic's
pick lie side by side in an order that only the JSON beside it tells.

Seconds are of one core (process time), so that whatever else runs on the machine counts little.
"""

import json
import pickle
import random
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import Report, parser

from worldpatch import generate
from worldpatch.embed import _shipped
from worldpatch.evals import _impossible, critic
from worldpatch.evals._likelihood import surprise
from worldpatch.evals._wish import expected, read
from worldpatch.evals.critic import Verdict
from worldpatch.evals.detect import Seen, detect
from worldpatch.evals.metrics.prompt import judge
from worldpatch.evals.paradox import LIMITS, paradoxes
from worldpatch.evals.suites import prompts
from worldpatch.generate.pipeline import Pipeline
from worldpatch.train.stages import embed
from worldpatch.train.stages._attributes import labels, right
from worldpatch.types import Clip, Request
from worldpatch.vae._pixels import to_tensor, to_uint8
from worldpatch.video._atomic import atomic
from worldpatch.video.sheet import contact_sheet
from worldpatch.worlds import tabletop

MANY = 8  # clips of each prompt
SEED = 999_001  # of the renders
WORDS = "cinematic shot of {}, dramatic lighting, 4k"  # words that no caption has
SHOWN = 12  # pairs of each level on the sheet
ASKED = ("colours", "count", "shape", "event", "direction", "camera")  # of the second judge
HEADER = (
    "", "clips", "seconds", "criteria right", "gain, points", "all seven right", "motion right", "second judge",
    "gain, points",
)  # fmt: skip

Frames = np.ndarray
Alarms = tuple[list[set[str]], list[set[str]], dict[str, list[set[str]]]]


# -------------------------------------------------------------------------------------------------------------- reading


def reading(report: Report) -> None:
    """How what is read agrees with the truth, on all frozen prompts."""
    counts: Counter[str] = Counter()
    for prompt in (p for level in (1, 2) for p in prompts.load(level)):
        found, truth = expected(read(prompt.caption)), prompt.truth
        named = {s.colour: s for s in found.solids}
        counts["colours"] += sorted(s.colour for s in found.solids) == sorted(s.colour for s in truth.solids)
        counts["camera"] += found.camera == truth.camera
        counts["prompts"] += 1
        for solid in truth.solids:
            events = named[solid.colour].events if solid.colour in named else ("unread",)
            counts["shape"] += solid.colour in named and named[solid.colour].shape == solid.shape
            counts["event"] += set(events) == set(solid.events)
            counts["open"] += not events and bool(solid.events)
            counts["solids"] += 1
    report.say("\n## Prompts read\n\nAgainst the truth of all frozen prompts of both levels.")
    rows = [("number and colours of solids", "colours", "prompts"), ("camera", "camera", "prompts"),
            ("shape", "shape", "solids"), ("event", "event", "solids"),
            ("event not said, and not demanded", "open", "solids")]  # fmt: skip
    report.table(("what", "agrees"), [(name, _share(counts[part], counts[of])) for name, part, of in rows])


# ------------------------------------------------------------------------------------------------------------ paradoxes


def alarms(pipeline: Pipeline, real: int, each: int) -> Alarms:
    """Kinds of paradoxes found in real renders, plain and through the autoencoder, and in those made impossible."""
    configs = [tabletop.Config(level=level, masks=False) for level in (1, 2)]
    clips = [tabletop.clip(config, SEED, i).frames for config in configs for i in range(real // 2)]
    found = {kind: [_kinds(_impossible.clip(kind, i, SEED).frames) for i in range(each)] for kind in LIMITS}
    return [_kinds(frames) for frames in clips], [_kinds(_decoded(frames, pipeline)) for frames in clips], found


def impossible(report: Report, real: int, each: int, made: Alarms) -> None:
    *sets, found = made
    rows = [
        (
            kind, *(_share(sum(kind in k for k in of), real) for of in sets),
            _share(sum(kind in k for k in found[kind]), each), _share(sum(map(bool, found[kind])), each),
        )
        for kind in LIMITS
    ]  # fmt: skip
    anything = sum(bool(k) for of in found.values() for k in of)
    alarmed = (_share(sum(map(bool, of)), real) for of in sets)
    rows.append(("**any**", *alarmed, "", _share(anything, each * len(found))))
    report.say(
        f"\n## Paradoxes\n\nFalse alarms on {real} real renders of levels 1 and 2, and what is found in {each} renders "
        "made impossible in each way (`evals/_impossible.py`)."
    )
    report.table(("paradox", "alarm: real", "alarm: through the autoencoder", "found", "found, or another"), rows)


def _kinds(frames: Frames) -> set[str]:
    return {p.kind for p in paradoxes(frames)}


@torch.no_grad()
def _decoded(frames: Frames, pipeline: Pipeline) -> Frames:
    return to_uint8(pipeline.vae.decode(pipeline.vae.encode(to_tensor(frames)[None]))[0])


# -------------------------------------------------------------------------------------------------------------- choices


@dataclass(frozen=True)
class Judged:
    """What the suite's judge says of a clip, by criterion, and the share of ASKED that is right by the second judge."""

    verdicts: dict[str, bool]
    second: float

    @property
    def right(self) -> float:
        return float(np.mean(list(self.verdicts.values())))


@cache
def heads() -> embed.Network:
    return embed.load(_shipped.find())


@torch.no_grad()
def judged(frames: Frames, prompt: prompts.Prompt, real: Clip, seen: Seen | None = None) -> Judged:
    said = heads().heads(heads().encoder.encode(to_tensor(frames)[None]))
    truth = {name: torch.from_numpy(of)[None] for name, of in labels(real, whole=True).items()}
    marks = right(said, truth)
    second = float(np.mean([bool((marks[name] != 0).all()) for name in ASKED]))
    return Judged(judge(detect(frames) if seen is None else seen, prompt.truth), second)


@dataclass(frozen=True)
class Case:
    """A prompt with eight clips, what the critic says of each and what the judges do, and of the real clip too; core
    seconds to draw a clip and to criticise it.

    And the loop on the same prompt, at no more clips: what the judges say of its clip, how many it drew in how many
    seconds, and for each round after the first whether it drew a part, and whether that helped.
    """

    caption: str
    clips: list[Frames]
    verdicts: list[Verdict]
    judged: list[Judged]
    real: Judged
    spent: tuple[float, float]
    loop: Judged
    loop_cost: tuple[float, float]
    actions: list[tuple[bool, bool]]

    def picked(self, choose: Callable[[Sequence[Verdict]], int], n: int) -> list[Judged]:
        """What the judges say of the choice from each group of `n`."""
        return [self.judged[i + choose(self.verdicts[i : i + n])] for i in range(0, MANY, n)]


def case(pipeline: Pipeline, prompt: prompts.Prompt, seed: int) -> Case:
    """The loop's first two clips are the first two of the eight."""
    real = tabletop.clip(tabletop.Config(level=prompt.level), prompt.seed, prompt.index)
    request = Request(ability="text_to_video", params={"prompt": prompt.caption}, seed=seed)
    times = [time.process_time()]
    result = generate.run(replace(request, variants=MANY), pipeline)
    times.append(time.process_time())
    clips = [f.numpy() for f in result.frames]
    wish, seen = expected(read(prompt.caption)), [detect(frames) for frames in clips]
    verdicts = [_light(critic.criticise(f, wish, s)) for f, s in zip(clips, seen, strict=True)]
    losses = surprise(pipeline, list(result.latents), generate.plan(request, pipeline)).tolist()
    times.append(time.process_time())
    chosen = critic.improve(request, pipeline, MANY // 2 - 1, 2)
    times.append(time.process_time())
    draw, look, loop = np.diff(times).tolist()
    return Case(
        caption=prompt.caption, clips=clips, spent=(draw / MANY, look / MANY),
        verdicts=[replace(v, surprise=loss) for v, loss in zip(verdicts, losses, strict=True)],
        judged=[judged(f, prompt, real, s) for f, s in zip(clips, seen, strict=True)],
        real=judged(real.frames, prompt, real),
        loop=judged(chosen.result.frames[0].numpy(), prompt, real), loop_cost=(chosen.clips, loop),
        actions=[(made.step.source >= 0, made.helped) for made in chosen.rounds[1:]],
    )  # fmt: skip


def _light(verdict: Verdict) -> Verdict:
    """Without the masks of the solids that it is about."""
    return replace(verdict, wrongs=tuple(replace(wrong, track=None) for wrong in verdict.wrongs))


def faults_alone(verdicts: Sequence[Verdict]) -> int:
    return min(range(len(verdicts)), key=lambda i: verdicts[i].weight)


def likelihood_alone(verdicts: Sequence[Verdict]) -> int:
    return min(range(len(verdicts)), key=lambda i: verdicts[i].surprise)


def choices(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    draw, look = np.mean([c.spent for c in cases], axis=0)
    base = [c.judged for c in cases]
    rows = [_row("(the real clip)", 0, 0, [[c.real] for c in cases], base), _row("one clip", 1, draw, base, base)]
    contestants = [(f"best of {n}", n, critic.pick) for n in (2, 4, MANY)]
    contestants += [(f"best of {MANY}, faults alone", MANY, faults_alone)]
    contestants += [(f"best of {MANY}, likelihood alone", MANY, likelihood_alone)]
    for name, n, choose in contestants:
        rows.append(_row(name, n, n * (draw + look), [c.picked(choose, n) for c in cases], base))
    clips, seconds = np.mean([c.loop_cost for c in cases], axis=0)
    return [*rows, _row(f"improve, at most {MANY}", clips, seconds, [[c.loop] for c in cases], base)]


def _row(
    name: str, clips: float, seconds: float, groups: Sequence[Sequence[Judged]], base: Sequence[Sequence[Judged]]
) -> tuple[str, ...]:
    """Means over prompts, each the mean of its group; the gain over one clip has the standard error over prompts."""
    looks = (lambda j: j.right, lambda j: all(j.verdicts.values()), lambda j: j.verdicts["motion"], lambda j: j.second)
    mine, others = (np.array([[np.mean([f(j) for j in g]) for f in looks] for g in of]) for of in (groups, base))
    means, gain = mine.mean(0), 100 * (mine - others)
    error = gain.std(0, ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.full(len(looks), np.nan)
    first, last = ("", "") if groups is base else (f"{gain.mean(0)[i]:+.1f} ± {error[i]:.1f}" for i in (0, -1))
    shares = (f"{means[0]:.1%}", first, f"{means[1]:.0%}", f"{means[2]:.0%}", f"{means[3]:.1%}", last)
    return name, f"{clips:.3g}", f"{seconds:.1f}", *shares


def actions(report: Report, cases: Sequence[Case]) -> None:
    rows = []
    for name, part in (("a part drawn again", True), ("all drawn anew", False)):
        helped = [helped for c in cases for was_part, helped in c.actions if was_part == part]
        rows.append((name, _share(sum(helped), len(helped))))
    report.say("\n### What was done in the rounds of improvement, both levels")
    report.table(("action", "rounds that found a better clip"), rows)


# -------------------------------------------------------------------------------------------------- words and the sheet


def strange(pipeline: Pipeline, prompt: prompts.Prompt, seed: int) -> list[float]:
    """Share of criteria right of a prompt as it is, with words that the model never read, and as it is then put."""
    said = WORDS.format(prompt.caption.rstrip(".").lower())
    asked = [
        Request(ability="text_to_video", params={"prompt": text}, seed=seed, variants=2)
        for text in (prompt.caption, said, read(said).caption)
    ]
    shares = [[judge(detect(f.numpy()), prompt.truth) for f in r.frames] for r in generate.run_many(asked, pipeline)]
    return [float(np.mean([list(v.values()) for v in of])) for of in shares]


def blind(cases: Sequence[Case], path: Path) -> None:
    """First clips beside the critic's picks, in an order that the JSON keeps, where the two are not the same."""
    rng, key, clips, captions = random.Random(5), [], [], []
    for c in cases:
        best = critic.pick(c.verdicts)
        if best == 0:
            continue
        order = rng.sample([0, best], 2)
        key.append({"prompt": c.caption, "picked": order.index(best) + 1})
        clips += [c.clips[i] for i in order]
        captions += [f"{len(key)}, clip {side}: {c.caption}" for side in (1, 2)]
    contact_sheet(clips, captions, path, columns=2)
    path.with_suffix(".json").write_text(json.dumps(key, indent=1) + "\n")


def _share(part: int, whole: int) -> str:
    return f"{part / max(1, whole):.1%} ({part} of {whole})"


# ---------------------------------------------------------------------------------------------------------------- whole


def kept(folder: Path, name: str, make: Callable[[], Any]) -> Any:
    """What `make` returns, or returned when it was asked the last time."""
    path = folder / f"{name}.pickle"
    if not path.exists():
        with atomic(path) as temporary:
            temporary.write_bytes(pickle.dumps(make()))
    return pickle.loads(path.read_bytes())


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default="tabletop")
    made.add_argument("--prompts", type=int, default=48, help="of each level, odd ones, from the first on")
    made.add_argument("--sheet", type=Path, default=Path("out/critic.png"), help="for a blind look")
    made.add_argument("--cache", type=Path, help="keeps what is made here, so that a stopped run goes on")
    arguments = made.parse_args()
    torch.set_num_threads(1)
    report = Report("The critic: what it sees, how much it helps, what it costs", arguments)
    with tempfile.TemporaryDirectory() as folder:
        _run(report, arguments, arguments.cache or Path(folder))
    report.finish()


def _run(report: Report, arguments: Namespace, folder: Path) -> None:
    pipeline, short = generate.load(generate.find(arguments.model)), arguments.short
    reading(report)
    real, each = (4, 1) if short else (120, 12)
    impossible(report, real, each, kept(folder, f"alarms-{real}-{each}", lambda: alarms(pipeline, real, each)))
    report.say(
        f"\n## Best of {MANY}, and improving\n\nMeans over prompts, gains over one clip; seconds are for a video."
    )
    everyone, shown = [], []
    for level in (1, 2):
        chosen = prompts.load(level)[1 : 2 * (1 if short else arguments.prompts) : 2]
        seeds = [5000 + 100 * level + i for i in range(len(chosen))]
        cases = [
            kept(folder, f"case-{seed}", lambda prompt=prompt, seed=seed: case(pipeline, prompt, seed))
            for prompt, seed in zip(chosen, seeds, strict=True)
        ]
        report.say(f"\n### Level {level}, {len(chosen)} prompts")
        report.table(HEADER, choices(cases))
        everyone, shown = everyone + cases, shown + cases[:SHOWN]
    actions(report, everyone)
    chosen = prompts.load(2)[1 : 2 * (1 if short else 8) : 2]
    shares = [
        kept(folder, f"strange-{i}", lambda prompt=prompt, i=i: strange(pipeline, prompt, 9000 + i))
        for i, prompt in enumerate(chosen)
    ]
    report.say(f"\n## Strange words\n\n{len(chosen)} prompts said as `{WORDS}`, two clips each.")
    said = ("as a caption", "with strange words", "what was understood of them")
    report.table(("prompt", "criteria right"), [(s, f"{x:.1%}") for s, x in zip(said, np.mean(shares, 0), strict=True)])
    blind(shown, arguments.sheet)
    report.say(f"\nFor a blind look: {arguments.sheet}; its answers: {arguments.sheet.with_suffix('.json')}")


if __name__ == "__main__":
    main()
