"""The quality of abilities, on worlds whose truth is known: one function per bar of `abilities.py`.

Each makes its own inputs (renders that no model was trained on), runs an ability on all of them in packed passes, and
says what it measured on what was drawn and, where that can be, on the world's own renders in its place.
"""

import itertools
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import Report

from worldpatch import generate
from worldpatch.data import render
from worldpatch.evals import _wish, directing
from worldpatch.evals.detect import detect
from worldpatch.evals.metrics import motion, prompt, ssim
from worldpatch.generate import media
from worldpatch.generate.ops._windows import reach
from worldpatch.generate.ops.motion import track
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Clip, Plan, Request
from worldpatch.video import write
from worldpatch.worlds import tabletop
from worldpatch.worlds._tabletop import scenario
from worldpatch.worlds._tabletop.caption import indefinite
from worldpatch.worlds._tabletop.palette import ALL
from worldpatch.worlds._tabletop.stories import SCALES

SEED = 77
Bar = tuple[str, str, str, bool]
Frames = np.ndarray


@dataclass(kw_only=True)
class Trial:
    """What all trials share: the model, how many clips each takes, where inputs are put, and pictures to be shown."""

    pipeline: Pipeline
    report: Report
    count: int
    steps: int
    folder: Path
    shown: list[tuple[str, Frames]] = field(default_factory=list)

    def make(self, ability: str, params: Sequence[dict[str, Any]], seed: int = 1) -> list[Frames]:
        requests = [Request(ability=ability, params=p, steps=self.steps, seed=seed + i) for i, p in enumerate(params)]
        return [result.frames[0].numpy() for result in generate.run_many(requests, self.pipeline)]

    def file(self, name: str, frames: Frames, rate: float = 8.0) -> str:
        path = self.folder / name
        write.write(path, frames, rate)
        return str(path)

    def show(self, told: str, frames: Frames) -> None:
        self.shown.append((told, frames))


def worlds(count: int, frames: int, level: int = 1, wanted: Callable[[Clip], bool] = lambda clip: True) -> list[Clip]:
    """Renders at the model's usual size, the first `count` that are wanted."""
    options = {"level": level, "height": 64, "width": 64, "frames": frames, "masks": True}
    found: list[Clip] = []
    for clip in render.clips("tabletop", options, SEED, itertools.count(), workers=0):
        if wanted(clip):
            found.append(clip)
        if len(found) == count:
            break
    return found


def stays(clip: Clip) -> bool:
    """Whether all solids are seen in every frame."""
    assert clip.truth is not None and clip.truth.visibility is not None
    return bool((clip.truth.visibility > 0.9).all())


def share(values: Sequence[float | bool | None]) -> float:
    known = [float(v) for v in values if v is not None]
    return float(np.mean(known)) if known else float("nan")


def shows(told: str, frames: Frames) -> bool:
    """Whether all that a sentence asks for is seen: number, colours, shapes, events, camera."""
    return all(prompt.judge(detect(frames), _wish.expected(_wish.read(told))).values())


def percent(value: float) -> str:
    return f"{value:.0%}"


# ------------------------------------------------------------------------------------------------- animate and extend


def goes_on(trial: Trial) -> list[Bar]:
    """animate from a first frame, and extend from two seconds by one and a half: does all go on as it was?

    Motion is that of all clips together over that of their renders: half of the renders stand still.
    """
    clips, rows, bars = worlds(trial.count, 29, wanted=stays), [], []
    told = [clip.captions.get("terse") or next(iter(clip.captions.values())) for clip in clips]
    pictures = [trial.file(f"first{i}.png", clip.frames[:1]) for i, clip in enumerate(clips)]
    films = [trial.file(f"film{i}.mp4", clip.frames[:17]) for i, clip in enumerate(clips)]
    asked = {
        "animate": ([{"image": f, "prompt": p} for f, p in zip(pictures, told, strict=True)], 1, 25),
        "extend": ([{"video": f, "prompt": p, "seconds": 1.5} for f, p in zip(films, told, strict=True)], 17, 29),
    }
    for ability, (params, at, stop) in asked.items():
        drawn = trial.make(ability, params)
        trial.show(f"{ability}: {told[0]}", drawn[0])
        found = {who: _going(some, clips, at, stop) for who, some in {"drawn": drawn, "real": None}.items()}
        for who, f in found.items():
            figures = [percent(f["identity"]), percent(f["count"]), f"{f['motion']:.2f}", percent(f["ping-pong"])]
            jumps = [f"{f[name]:.2f}" for name in ("change", "light", "velocity")]
            rows.append((f"{ability}, {who}", *figures, *jumps))
        f, real = found["drawn"], found["real"]
        bars += [
            (f"{ability}: identity kept", "90%", percent(f["identity"]), f["identity"] >= 0.9),
            (f"{ability}: jump of brightness", "1.5", f"{f['light']:.2f}", f["light"] <= 1.5),
            (f"{ability}: jump of pixels", "1.5", f"{f['change']:.2f}", f["change"] <= 1.5),
            (f"{ability}: motion over real", "0.7 to 1.3", f"{f['motion']:.2f}", 0.7 <= f["motion"] <= 1.3),
        ]
        if ability == "extend":
            times = f["velocity"] / real["velocity"]
            bars.append(("extend: velocity break at the join, over real ones", "2", f"{times:.1f}", times <= 2))
    names = ("identity", "count", "motion / real", "ping-pong", "jump of pixels", "of light", "of velocity, pixels")
    trial.report.table((f"{trial.count} clips", *names), rows)
    return bars


def _going(drawn: Sequence[Frames] | None, clips: Sequence[Clip], at: int, stop: int) -> dict[str, float]:
    """Figures of what was drawn from frame `at` on, or of the renders themselves."""
    found: dict[str, list[Any]] = {}
    for i, clip in enumerate(clips):
        frames = clip.frames[:stop] if drawn is None else drawn[i][:stop]
        given, new = frames[:at], frames[at:]
        was, now = detect(given), detect(new)
        values = {
            "identity": directing.identity(was, now), "count": len(was.solids) == len(now.solids),
            "moved": motion.amount(frames[at - 1 :]), "real": motion.amount(clip.frames[at - 1 : stop]),
            "ping-pong": directing.ping_pong(given, new) if at > 3 else None,
            "change": directing.jump(frames, at, directing.changes),
            "light": directing.jump(frames, at, directing.lights),
            "velocity": directing.velocity_break(frames, at) if at >= 3 else _start(frames, clip),
        }  # fmt: skip
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    told = {name: float(np.median(v)) if name in ("change", "light") else share(v) for name, v in found.items()}
    return told | {"motion": motion.ratio_of_amounts(told["moved"], told["real"])}


def _start(frames: Frames, clip: Clip) -> float | None:
    """How far the first step of things is from that of the render, in pixels: after one given frame there is no
    velocity to keep, but the prompt tells one."""
    drawn, real = directing.places(frames[:5]), directing.places(clip.frames[:5])
    steps = [np.linalg.norm((drawn[c][4] - drawn[c][0]) - (real[c][4] - real[c][0])) / 4 for c in real if c in drawn]
    known = [s for s in steps if np.isfinite(s)]
    return float(np.mean(known)) if known else None


def hidden(trial: Trial) -> list[Bar]:
    """Hide and return: what was behind something when the context ended comes out again."""
    clips, asked, who, shown = list(itertools.islice(_passing(), trial.count)), [], [], []
    for i, clip in enumerate(clips):
        at, solid = _hides(clip) or (0, 0)
        assert clip.truth is not None
        film = trial.file(f"hidden{i}.mp4", clip.frames[:at])
        asked.append({"video": film, "prompt": clip.captions["terse"], "seconds": (29 - at) / 8})
        who.append(clip.truth.objects[solid]["colour"])
        shown.append(_seen_at_last(clip.frames, who[-1]))
    drawn = trial.make("extend", asked)
    trial.show(f"extend: the {who[0]} one is hidden, {asked[0]['prompt']}", drawn[0])
    rate = share([_seen_at_last(frames[:29], colour) for frames, colour in zip(drawn, who, strict=True)])
    trial.report.say(
        f"\nHide and return: {len(clips)} extensions that begin while a solid is hidden; it is seen again in "
        f"{rate:.0%}, in the renders themselves in {share(shown):.0%}."
    )
    return [("extend: what was hidden comes out again", "80%", percent(rate), rate >= 0.8)]


def _passing() -> Iterator[Clip]:
    """Solids that pass before or behind another one, where that hides either when a context ends."""
    rng, form = np.random.default_rng(SEED), tabletop.Format(frames=29)
    while True:
        cast = scenario.Casting(rng=rng, colours=ALL, seconds=(form.frames - 1) / form.rate, scale=SCALES[2])
        script = scenario.passes(cast)
        (first, second), beat = script.solids, script.beats[0]
        side = "in front of" if first.position[1] < second.position[1] else "behind"
        one, other = (f"{indefinite(s.colour)} {s.colour} {s.shape}" for s in (first, second))
        told = f"{one} {beat.kind}s to the {beat.direction} {side} {other}"
        scene = tabletop.Scene(script=script, decor=tabletop.choose_decor(rng, 1), caption=told)
        clip = tabletop.enact(scene, form)
        if _hides(clip) is not None:
            yield clip


def _hides(clip: Clip) -> tuple[int, int] | None:
    """(frames of context after which a solid is hidden, its number), where it was seen before and will be; or None."""
    assert clip.truth is not None and clip.truth.visibility is not None
    seen = clip.truth.visibility
    for at in (9, 13, 17):
        for solid in range(seen.shape[1]):
            if seen[at - 1, solid] < 0.3 and seen[0, solid] > 0.9 and seen[-4:, solid].min() > 0.9:
                return at, solid
    return None


def _seen_at_last(frames: Frames, colour: str) -> bool:
    """Whether a colour's largest patch is found in at least two of the last four frames."""
    track = directing.places(frames[-4:]).get(colour)
    return track is not None and int(np.isfinite(track).all(1).sum()) >= 2


def joins(trial: Trial) -> list[Bar]:
    """Loops close, bridges meet both sides, and painted regions have no border."""
    clips = worlds(trial.count, 17, wanted=stays)
    films = [trial.file(f"loop{i}.mp4", clip.frames) for i, clip in enumerate(clips)]
    loops = trial.make("loop", [{"video": f} for f in films])
    wraps = [np.concatenate([loop[17:], loop[:17]]) for loop in loops]
    closing = [directing.jump(w, len(w) - 17, directing.changes) for w in wraps]
    pairs = list(zip(films, films[1:] + films[:1], strict=True))
    bridges = trial.make("bridge", [{"video": a, "other": b, "seconds": 1.5} for a, b in pairs])
    meeting = [max(directing.jump(b, at, directing.changes) for at in (17, len(b) - 17)) for b in bridges]
    painted = trial.make("reframe", [{"video": f, "width": 96, "height": 64} for f in films])
    inside = np.zeros((64, 96), bool)
    inside[:, :16] = inside[:, -16:] = True
    steps = [directing.borders(p, inside) for p in painted]
    for told, some in (("loop", loops), ("bridge", bridges), ("reframe", painted)):
        trial.show(told, some[0])
    figures = {
        "loop: wrap-around over other neighbours": closing, "bridge: jump at the worse join": meeting,
        "reframe: step across the border": steps,
    }  # fmt: skip
    trial.report.table(
        (f"{trial.count} clips, change over other neighbours'", "median", "worst quarter from"),
        [(name, f"{np.median(v):.2f}", f"{np.quantile(v, 0.75):.2f}") for name, v in figures.items()],
    )
    return [(name, "1.5", f"{np.median(v):.2f}", bool(np.median(v) <= 1.5)) for name, v in figures.items()]


# -------------------------------------------------------------------------------------------------------------- remix

STRENGTHS = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
MIDDLE = 0.65


def remixes(trial: Trial) -> list[Bar]:
    """Structure kept over strength, and colours swapped at the middle one."""
    clips = worlds(trial.count, 25, wanted=stays)
    films = [trial.file(f"remix{i}.mp4", clip.frames) for i, clip in enumerate(clips)]
    rows, similar = [], []
    for strength in STRENGTHS:
        asked, swaps = [], []
        for i, clip in enumerate(clips):
            assert clip.truth is not None
            old = clip.truth.objects[0]["colour"]
            new = next(c for c in ("blue", "red", "green", "yellow")[i % 4 :] + ("blue", "red") if c != old)
            told = next(iter(clip.captions.values())).replace(old, new)
            asked.append({"video": films[i], "prompt": told, "strength": strength})
            swaps.append((old, new))
        drawn = trial.make("remix", asked)
        likeness = float(np.mean(ssim.score([_grey(d) for d in drawn], [_grey(c.frames) for c in clips]).per_clip))
        found = [directing.recoloured(c.frames, d, *swap) for c, d, swap in zip(clips, drawn, swaps, strict=True)]
        rate = share([there and away <= 0.1 for there, away in found])
        similar.append(likeness)
        rows.append((f"{strength:g}", f"{likeness:.3f}", percent(share([t for t, _ in found])), percent(rate)))
        if strength == MIDDLE:
            middle = rate
            trial.show(f"remix: {swaps[0][0]} becomes {swaps[0][1]}", drawn[0])
    trial.report.table(("strength", "SSIM of luma to the original", "colour swapped", "and the track kept"), rows)
    falling = all(a >= b for a, b in itertools.pairwise(similar))
    return [
        (f"remix: colours swapped at strength {MIDDLE:g}, track within 10%", "80%", percent(middle), middle >= 0.8),
        ("remix: structure falls with strength", "always", "always" if falling else "not always", falling),
    ]


def _grey(frames: Frames) -> Frames:
    return np.repeat(frames.mean(-1, keepdims=True).round().astype(np.uint8), 3, -1)


# ---------------------------------------------------------------------------------------------------- camera and paths


def cameras(trial: Trial) -> list[Bar]:
    """Moves of a static scene: how far did the camera really go? Measured by rendering the scene from many places."""
    moves: dict[str, tuple[dict[str, float], Callable[[np.ndarray], dict[str, Any]]]] = {
        "orbit right": ({"orbit": 40.0}, lambda u: {"azimuth": 90 + 40 * u}),
        "orbit left": ({"orbit": -40.0}, lambda u: {"azimuth": 90 - 40 * u}),
        "dolly in": ({"dolly": 1.4}, lambda u: {"distance": 3.5 - 1.4 * u}),
        "zoom in": ({"zoom": 1.67}, lambda u: {"fovy": np.degrees(2 * np.arctan(np.tan(np.radians(20)) / 1.67**u))}),
        "pan right": ({"pan": 20.0}, lambda u: {"target": _panned(20.0 * u)}),
        "pan left": ({"pan": -20.0}, lambda u: {"target": _panned(-20.0 * u)}),
    }
    form, rows, errors = tabletop.Format(frames=25), [], []
    scenes = _static(max(2, trial.count // 4), form)
    ends = np.linspace(-0.5, 2.0, 51)
    many = tabletop.Format(frames=len(ends))
    for name, (params, shot) in moves.items():
        asked, views = [], []
        for i, staged in enumerate(scenes):
            still = tabletop.enact(_seen(staged, form), form)
            asked.append({"image": trial.file(f"still{i}.png", still.frames[:1]), "prompt": staged.caption, **params})
            views.append(tabletop.enact(_seen(staged, many, **shot(ends)), many).frames)
        drawn = trial.make("camera", asked)
        went = [float(ends[directing.moved_by(d[-1], v)]) for d, v in zip(drawn, views, strict=True)]
        wrong = [abs(w - 1) for w in went]
        errors += wrong
        rows.append((name, f"{np.median(went):.2f}", f"{np.mean(wrong):.2f}"))
        trial.show(f"camera: {name}", drawn[0])
    trial.report.table((f"{len(scenes)} static scenes", "went, of what was asked (median)", "mean error"), rows)
    error = float(np.mean(errors))
    return [("camera: error of moves, of the move", "25%", percent(error), error <= 0.25)]


def _static(count: int, form: tabletop.Format) -> list[tabletop.Staged]:
    names = [f"a {c} {s} stands still" for c in ("red", "blue", "green", "yellow") for s in ("ball", "box", "cylinder")]
    return [tabletop.perform(tabletop.read(name), form, i) for i, name in enumerate(names[:count])]


def _seen(staged: tabletop.Staged, form: tabletop.Format, **shot: Any) -> tabletop.Scene:
    return replace(staged.scene(form), shot=tabletop.resting(form, **shot))


def _panned(degrees: np.ndarray) -> np.ndarray:
    """Where a camera looks that turns to the right about the vertical, from its usual place."""
    shot = tabletop.resting(tabletop.Format(frames=1))
    angle, reach = np.radians(90 - np.asarray(degrees)), float(shot.distance[0] * np.cos(np.radians(shot.elevation[0])))
    base = shot.target[0] - reach * np.array([0.0, 1.0, 0.0])
    return base + reach * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], -1)


PATHS = (
    "0.2,0.5 0.8,0.5", "0.8,0.5 0.2,0.5", "0.5,0.2 0.5,0.65", "0.2,0.4 0.8,0.65", "0.8,0.4 0.2,0.65",
    "0.25,0.65 0.5,0.3 0.75,0.65", "0.75,0.65 0.5,0.3 0.25,0.65", "0.3,0.6 0.7,0.6 0.3,0.6",
)  # fmt: skip


def paths(trial: Trial) -> list[Bar]:
    """Drawn paths of at least 40% of the width: how far does the thing stray?"""
    names = [f"a {colour} {shape}" for colour in ("red", "blue", "green", "yellow") for shape in ("ball", "box")]
    asked = [
        {"prompt": f"{name} moves", "path": (path,)}
        for name, path in itertools.islice(itertools.product(names, PATHS), trial.count * 2)
    ]
    drawn = trial.make("motion", asked)
    times, away = np.arange(25) / 8, []
    for params, frames in zip(asked, drawn, strict=True):
        colour = params["prompt"].split()[1]
        ordered = track(params["path"][0], times) * 64
        found = directing.places(frames)
        away.append(directing.strayed(found[colour], ordered) / 64 if colour in found else float("inf"))
    trial.show(f"motion: {asked[0]['prompt']} along {asked[0]['path'][0]}", drawn[0])
    kept = share([a <= 0.1 for a in away])
    middle = float(np.median(away))
    trial.report.say(f"\nMotion paths: {len(away)}, strayed by {middle:.1%} of the width in the median.")
    return [("motion: paths followed within 10% of the width", "all", percent(kept), kept == 1)]


# ------------------------------------------------------------------------------------------------ stories and subjects


def stories(trial: Trial) -> list[Bar]:
    """Stories of four shots with one character: is it the same in all, and does each shot show what its card says?"""
    acts = ("{character} falls", "{character} rolls to the left", "{character} stands still", "{character} jumps")
    heroes = [
        f"a {colour} {shape}" for shape in ("ball", "cylinder", "box") for colour in ("red", "blue", "green", "cyan")
    ]
    heroes = heroes[: max(2, trial.count // 3)]
    asked = [
        {
            "character": who,
            "cards": [{"text": a if "box" not in who else a.replace("rolls", "slides"), "cut": True} for a in acts],
        }
        for who in heroes
    ]
    same, right = [], []
    for who, frames in zip(heroes, trial.make("storyboard", asked), strict=True):
        _, colour, shape = who.split()
        shots = np.split(frames, len(acts))
        seen = [detect(shot) for shot in shots]
        same += [bool(s.solids) and (s.solids[0].colour, s.solids[0].shape) == (colour, shape) for s in seen]
        for shot, act in zip(shots, asked[heroes.index(who)]["cards"], strict=True):
            right.append(shows(act["text"].replace("{character}", who), shot))
    trial.show(
        f"storyboard: {heroes[0]} falls, rolls, stands, jumps",
        np.concatenate([s[::4] for s in np.split(trial.make("storyboard", asked[:1])[0], 4)]),
    )
    agreed, shown = share(same), share(right)
    return [
        ("storyboard: the character's colour and shape in each shot", "90%", percent(agreed), agreed >= 0.9),
        ("storyboard: shots that show what their card says", "as prompts", percent(shown), shown >= 0.8),
    ]


def subjects(trial: Trial) -> list[Bar]:
    """A picture of a solid, and "this object falls": is it that one?"""
    clips = worlds(trial.count, 25, wanted=lambda c: stays(c) and c.truth is not None and len(c.truth.objects) == 1)
    asked = [
        {"prompt": "this object falls", "subject": (trial.file(f"who{i}.png", clip.frames[12:13]),)}
        for i, clip in enumerate(clips)
    ]
    drawn, kept = trial.make("likeness", asked), []
    for clip, frames in zip(clips, drawn, strict=True):
        assert clip.truth is not None
        who = clip.truth.objects[0]
        kept.append((who["colour"], who["shape"]) in [(s.colour, s.shape) for s in detect(frames).solids])
    trial.show("likeness: this object falls", np.concatenate([clips[0].frames[12:13], drawn[0]]))
    rate = share(kept)
    return [("likeness: colour and shape of the pictured subject", "most", percent(rate), rate > 0.5)]


def staged(trial: Trial) -> list[Bar]:
    """The same sentences, drawn by the model alone and painted over what the physics engine computed."""
    names = [
        clip.captions["terse"] for clip in worlds(trial.count, 25, level=2, wanted=lambda c: "terse" in c.captions)
    ]
    form, told = tabletop.Format(), []
    for name in names:
        try:
            tabletop.perform(tabletop.read(name), form, 0)
            told.append(name)
        except ValueError:
            continue
    alone = trial.make("text_to_video", [{"prompt": name} for name in told])
    both = trial.make("simulate", [{"prompt": name} for name in told])
    rates = [share([shows(*pair) for pair in zip(told, some, strict=True)]) for some in (alone, both)]
    trial.show(f"simulate: {told[0]}", both[0])
    trial.report.say(f"\n{len(told)} of {len(names)} sentences of level 2 could be staged.")
    made = f"{rates[1]:.0%}, alone {rates[0]:.0%}"
    return [("simulate: shows all that was asked", "more than alone", made, rates[1] > rates[0])]


# --------------------------------------------------------------------------------------------------------------- length


def minute(trial: Trial) -> list[Bar]:
    """Sixty seconds by extension."""
    (clip,) = worlds(1, 17, wanted=stays)
    film, seconds = trial.file("begin.mp4", clip.frames), 58.0
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    (frames,) = trial.make(
        "extend", [{"video": film, "seconds": seconds, "prompt": next(iter(clip.captions.values()))}]
    )
    spent, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = directing.collapse(frames, 8.0)
    figures = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    windows = reach(trial.pipeline, 64, 64)
    step = (windows.window - windows.context) * windows.stride
    drifts = directing.drift(frames, range(len(clip.frames), len(frames), step), span=8)
    trial.report.say(
        f"\nA minute by extension: {len(frames)} frames in {spent:.0f} s; the last 5 s over the first 5 s: {figures}; "
        f"per join, of the range: {', '.join(f'{name} {value:.2%}' for name, value in drifts.items())}; "
        f"peak memory {before / 1e6:.2f} GB before, {after / 1e6:.2f} GB after."
    )
    trial.show("a minute by extension", frames[:: len(frames) // 24])
    worst = max(found.values(), key=lambda v: abs(v - 1))
    most = max(drifts.values())
    return [
        ("60 s: last five seconds over the first", "0.9 to 1.1", f"{worst:.2f}", 0.9 <= worst <= 1.1),
        ("60 s: drift per join, of the range", "1%", f"{most:.2%}", most < 0.01),
    ]


def second(trial: Trial) -> list[Bar]:
    """A second more beside a second from nothing, and the way of the context to latents and back; medians of five."""
    (clip,) = worlds(1, 17, wanted=stays)
    film = trial.file("second.mp4", clip.frames)
    told, pipeline = next(iter(clip.captions.values())), trial.pipeline
    known = Plan(start=torch.zeros(pipeline.spec.grid(17, 64, 64)), rate=8.0)
    extend = Request(ability="extend", params={"video": film, "prompt": told, "seconds": 1.0}, steps=trial.steps)
    alone = Request(ability="text_to_video", params={"prompt": told, "frames": 9}, steps=trial.steps)
    ways: dict[str, Callable[[], object]] = {
        "extend by 1 s": lambda: generate.run(extend, pipeline),
        "generate 1 s": lambda: generate.run(alone, pipeline),
        "the context, to latents and back": lambda: pipeline.decode(
            [known], [media.encode(media.film(film, 8.0, 64, 64), pipeline)]
        ),
    }
    spent = {name: sorted(_timed(way) for _ in range(5))[2] for name, way in ways.items()}
    trial.report.table(("work", "seconds"), [(name, f"{seconds:.2f}") for name, seconds in spent.items()])
    more, *bounds = spent.values()
    return [("extend by 1 s over 1 s generated and its context", "1", f"{more / sum(bounds):.2f}", more <= sum(bounds))]


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


TRIALS: dict[str, Callable[[Trial], list[Bar]]] = {
    "goes_on": goes_on, "hidden": hidden, "joins": joins, "remixes": remixes, "cameras": cameras, "paths": paths,
    "stories": stories, "subjects": subjects, "staged": staged, "second": second,
    "minute": minute,
}  # fmt: skip


def run(pipeline: Pipeline, report: Report, only: Sequence[str]) -> Iterator[tuple[Trial, list[Bar]]]:
    with tempfile.TemporaryDirectory() as folder:
        for name in only or TRIALS:
            count, steps = (2, 2) if report.short else (24, 25)
            trial = Trial(pipeline=pipeline, report=report, count=count, steps=steps, folder=Path(folder))
            yield trial, TRIALS[name](trial)
