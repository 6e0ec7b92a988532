"""`worldpatch generate`: a sentence becomes a file."""

import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from worldpatch.cli import _expand
from worldpatch.cli._parse import assign, size, threads
from worldpatch.cli._progress import Meter, amount, clock, meter
from worldpatch.config import UserError

log = logging.getLogger(__name__)


Output = Annotated[
    Path | None, typer.Option("--output", "-o", help=".mp4, .gif, .png or .webp  [default: out/<prompt>.mp4]")
]
Model = Annotated[str | None, typer.Option(help="A shipped model, or a folder.  [default: tabletop]")]
Loras = Annotated[
    list[str] | None, typer.Option("--lora", help="FOLDER or FOLDER:SCALE of a fine-tuned adapter; repeatable.")
]
Seed = Annotated[int | None, typer.Option(help="Another seed, another video.  [default: 0]")]
Variants = Annotated[int | None, typer.Option(help="How many videos, drawn together.  [default: 1]")]
Steps = Annotated[int | None, typer.Option(help="Sampler steps: more is slower and cleaner.  [default: 25]")]
Guidance = Annotated[float | None, typer.Option(help="How strictly the prompt is followed.  [default: 2]")]
Interval = Annotated[
    tuple[float, float] | None, typer.Option(help="Noise times from and to which it acts.  [default: 0 1]")
]
Rescale = Annotated[
    float | None, typer.Option(help="Share of the guided size brought back to the unguided.  [default: 0]")
]
Sampler = Annotated[str | None, typer.Option(help="euler, heun, dpmpp_2m or jump.  [default: euler]")]
Fast = Annotated[bool, typer.Option("--fast", help="In 4 jumps without guidance, by a model that has learned them.")]
StepCache = Annotated[
    float | None, typer.Option(help="Forecast steps up to this error, such as 0.2: twice as fast.  [default: 0]")
]
Latents = Annotated[bool, typer.Option("--latents", help="Keep the latents, too: `extend` goes on from them.")]
Sign = Annotated[
    bool | None, typer.Option("--sign/--no-sign", help="Sign what is made (C2PA).  [default: sign, where it can be]")
]
Watermark = Annotated[
    bool | None, typer.Option("--watermark/--no-watermark", help="Mark the pixels, unseen.  [default: no-watermark]")
]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads.  [default: all]")]
Server = Annotated[
    str | None, typer.Option("--server", help="Let `worldpatch serve` draw it there, such as http://host:8000.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]

SAMPLING: dict[str, Any] = {
    "output": Output, "model": Model, "loras": Loras, "seed": Seed, "variants": Variants, "steps": Steps,
    "guidance": Guidance, "guidance_interval": Interval, "guidance_rescale": Rescale, "sampler": Sampler,
    "step_cache": StepCache, "fast": Fast,
    "keep": Latents, "sign": Sign, "watermark": Watermark, "threads_": Threads, "server": Server, "quiet": Quiet,
}  # fmt: skip
"""Flags that every ability has."""
FAST = {"sampler": "jump", "steps": 4}


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What the video shows, such as 'a red ball falls'.")] = None,
    output: Output = None,
    model: Model = None,
    loras: Loras = None,
    size_: Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT, from 1:2 to 2:1.")] = None,
    width: Annotated[int | None, typer.Option(help="In pixels; instead of --size.")] = None,
    height: Annotated[int | None, typer.Option(help="In pixels; instead of --size.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length of the video.")] = None,
    frames: Annotated[int | None, typer.Option(help="Length in frames instead; 1 makes an image.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second.")] = None,
    seed: Seed = None,
    variants: Variants = None,
    best_of: Annotated[
        int | None, typer.Option(help="Draw so many, keep the one with the fewest faults.  [default: 1]")
    ] = None,
    improve: Annotated[
        int | None,
        typer.Option(help="So many rounds of finding faults and drawing them again, 2 clips each.  [default: 0]"),
    ] = None,
    steps: Steps = None,
    guidance: Guidance = None,
    guidance_interval: Interval = None,
    guidance_rescale: Rescale = None,
    sampler: Sampler = None,
    step_cache: StepCache = None,
    fast: Fast = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value: any parameter of the ability.")] = None,
    expand: Annotated[
        bool | None,
        typer.Option("--expand/--no-expand", help="Tell the prompt more fully first.  [default: no-expand]"),
    ] = None,
    expand_url: Annotated[
        str | None, typer.Option(help="Let this OpenAI-compatible endpoint do it, such as http://localhost:8000/v1.")
    ] = None,
    expand_model: Annotated[str | None, typer.Option(help="The endpoint's model.")] = None,
    threads_: Threads = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Make again what made this file; other flags change it.")
    ] = None,
    keep: Latents = False,
    sign: Sign = None,
    watermark: Watermark = None,
    server: Server = None,
    quiet: Quiet = False,
) -> None:
    """Make a video, or an image, from a sentence.

    What is left out is as in the clips the model was trained on. The file carries its recipe: --from makes it again.
    """
    if size_ is not None:
        if width is not None or height is not None:
            raise UserError("--size and --width or --height say the same thing twice; give one of them")
        width, height = size(size_)
    params = {"prompt": prompt, "width": width, "height": height, "seconds": seconds, "frames": frames, "fps": fps}
    if output is not None and output.suffix.lower() == ".png" and source is None and seconds is frames is None:
        params["frames"] = 1  # a PNG is a picture, unless a length is asked for
    fields = {
        "model": model, "seed": seed, "variants": variants, "steps": steps, "guidance": guidance,
        "sampler": sampler, "guidance_interval": guidance_interval, "guidance_rescale": guidance_rescale,
        "step_cache": step_cache, "loras": tuple(loras) if loras else None,
    }  # fmt: skip
    critic = _given({"best_of": best_of, "improve": improve})
    flags = _expand.Flags(on=expand, url=expand_url, model=expand_model)
    given = assign(_given(params), set_ or [])
    if server is not None:
        here = {"--from": source, "--expand": expand, "--threads": threads_, "a critic": critic or None}
        return _there(
            (FAST if fast else {}) | _given(fields), given, _Where(output, keep, sign, watermark), server, here, quiet
        )
    _generate(
        (FAST if fast else {}) | _given(fields), given, critic, flags, source,
        _Where(output, keep, sign, watermark), threads_, quiet,
    )  # fmt: skip


def direct(ability: str, params: dict[str, Any], flags: dict[str, Any]) -> None:
    """Make what an ability is asked for: its parameters, and the given ones of `SAMPLING`."""
    others = ("output", "keep", "sign", "watermark", "fast", "threads_", "server", "quiet")
    fields = {k: v for k, v in flags.items() if k not in others}
    fields = (FAST if flags.get("fast") else {}) | fields
    fields |= {"ability": ability} | ({"loras": tuple(flags["loras"])} if "loras" in flags else {})
    output = flags.get("output") or _named(ability, params)
    where = _Where(output, flags.get("keep", False), flags.get("sign"), flags.get("watermark"))
    if "server" in flags:
        here = {"--threads": flags.get("threads_")}
        return _there(fields, params, where, flags["server"], here, flags.get("quiet", False))
    _generate(fields, params, {}, _expand.Flags(), None, where, flags.get("threads_"), flags.get("quiet", False))


def _there(
    fields: dict[str, Any], params: dict[str, Any], where: "_Where", server: str, here: dict[str, Any], quiet: bool
) -> None:
    """Let a server make it, and fetch it; Ctrl-C cancels it there. Raises UserError on what only this machine does."""
    from worldpatch.client import Client
    from worldpatch.generate import files, stored
    from worldpatch.types import Request

    here = here | {"--sign or --no-sign": where.sign, "--watermark or --no-watermark": where.watermark}
    only = [name for name, value in here.items() if value is not None]
    if only:
        raise UserError(f"{' and '.join(only)} with --server: that is done on this machine alone; leave it out")
    request = Request(**({"ability": "text_to_video", "params": params, "model": "sora-2"} | fields))
    output = where.output or Path("out") / f"{_slug(params.get('prompt', ''))}.mp4"
    files.check(output, request.variants)
    variant = {".mp4": "video", ".gif": "gif", ".png": "first_frame"}.get(output.suffix)
    if variant is None:
        raise UserError(f"{output}: from a server come .mp4, .gif and .png; choose one of them")
    root = server.rstrip("/")
    with Client(root if root.endswith("/v1") else f"{root}/v1") as client, meter(quiet) as progress:
        begun, video = time.monotonic(), client.draw(request)
        try:
            video.wait(lambda now: progress(now["stage"] or now["status"], now["progress"], 100))
        except KeyboardInterrupt:
            video.cancel()
            raise KeyboardInterrupt(f"stopped, and cancelled there: {video.id}") from None
        paths = files.outputs(output, request.variants)
        for index, path in enumerate(paths):
            video.save(path, variant, index)
            if where.keep:
                paths = [*paths, video.save(stored.path_of(path), "latents", index)]
    for note in video["notes"]:
        log.warning(note)
    if not quiet:
        told = f"{video['size']}, {video['seconds']} s, made by {client.url} in {clock(time.monotonic() - begun)}"
        print(f"{', '.join(map(str, paths))}: {told}")


class _Where(NamedTuple):
    """The file to write, whether to keep latents beside it, and whether it is signed and marked (None: as usual)."""

    output: Path | None
    keep: bool
    sign: bool | None
    watermark: bool | None


def _named(ability: str, params: dict[str, Any]) -> Path:
    """A file for what comes out: the ability, and the file it began with or the prompt."""
    about = next((str(v) for v in params.values() if isinstance(v, str)), "")
    return Path("out") / f"{ability}-{_slug(Path(about).stem if Path(about).suffix else about)}.mp4"


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _generate(
    fields: dict[str, Any], params: dict[str, Any], critic: dict[str, int], flags: _expand.Flags, source: Path | None,
    where: _Where, threads_: int | None, quiet: bool,
) -> None:  # fmt: skip
    """Sample what is asked for and write it; everything that can be refused is refused before the work."""
    begun = time.monotonic()
    from worldpatch import generate
    from worldpatch.generate import files, lora, provenance
    from worldpatch.types import Request

    former = files.read_recipe(source) if source else None
    request = former.request if former else Request(ability="text_to_video", params={})
    if former is None and "ability" not in fields and "prompt" not in params:
        raise UserError("the prompt is missing: say what the video shows, such as 'a red ball falls'")
    request = replace(request, **fields, params=_merged(request.params, params))
    output = where.output or Path("out") / f"{_slug(request.params.get('prompt', ''))}.mp4"
    files.check(output, request.variants)
    threads(former.threads if former and threads_ is None else threads_)
    with meter(quiet) as progress:
        hand = provenance.prepared(provenance.from_environment(sign=where.sign, watermark=where.watermark))
        folder = generate.find(request.model)
        pipeline = generate.load(folder, adapters=[lora.parse(text) for text in request.loras])
        words = (pipeline.record or {}).get("words", [])
        request, expansion = _expand.expanded(request, former, "prompt" in params, flags, words)
        if expansion and not quiet:
            print(f"prompt: {request.params['prompt']}")
        recipe = replace(files.recipe(request, folder), expansion=expansion, provenance=hand.told())
        generate.check(request, pipeline)
        _compare(former, recipe, "loras" in fields)
        _note_words(request, pipeline.record or {})
        made = _make(recipe, former, critic, where._replace(output=output), hand, pipeline, progress)
    if not quiet:
        signature = recipe.provenance["signature"]
        signed = f"signed {signature}" if hand.signer else f"not signed: {signature}"
        print(f"{_summary(made.result, made.paths, time.monotonic() - begun)}, {signed}")
        print(made.story, end="")
    if made.stopped:
        raise KeyboardInterrupt(f"stopped: {output} is the best so far")


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What was made and written; the story of how, where a critic had a say; whether the user stopped it."""

    result: Any
    paths: list[Path]
    story: str = ""
    stopped: bool = False


def _make(
    recipe: Any, former: Any, critic: dict[str, int], where: _Where, hand: Any, pipeline: Any, progress: Meter
) -> _Made:
    """Makes what the recipe asks for and saves it.

    A critic that chose the former clip is asked again only if something has changed.
    """
    from worldpatch import generate
    from worldpatch.generate import files

    assert where.output is not None
    output, spec = where.output, pipeline.spec if where.keep else None
    old = former.critic if former and former.critic else {}
    asked = {"improve": 0} | {k: v for k, v in old.items() if k != "steps"} | critic
    if not asked["improve"] and asked.get("best_of", 1) == 1:
        result = generate.run(recipe.request, pipeline, progress)
        return _Made(result=result, paths=files.save(result, output, recipe, spec, hand))
    from worldpatch.evals import _story
    from worldpatch.evals import critic as judge

    if old and not critic and recipe.request == former.request:
        steps = judge.steps_of(old["steps"])
        result = judge.remake(recipe.request, steps, pipeline, progress)
        return _Made(result=result, paths=files.save(result, output, replace(recipe, critic=old), spec, hand))
    _story.check(output)
    asked.setdefault("best_of", judge.TOGETHER)
    chosen = judge.improve(recipe.request, pipeline, asked["improve"], asked["best_of"], progress=progress)
    recipe = replace(recipe, critic={**asked, "steps": [asdict(step) for step in chosen.steps]})
    paths = files.save(chosen.result, output, recipe, spec, hand) + _story.save(chosen, output)
    return _Made(result=chosen.result, paths=paths, story=_story.story(chosen) + "\n", stopped=chosen.stopped)


def _merged(former: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Former parameters with the new ones over them; a new length in seconds replaces one in frames, and vice versa."""
    other = {"seconds": "frames", "frames": "seconds"}
    kept = {k: v for k, v in former.items() if other.get(k) not in params}
    return {**kept, **params}


def _slug(prompt: str) -> str:
    """A file name from a prompt."""
    words = "".join(c if c.isalnum() else " " for c in prompt.lower()).split()
    return "-".join(words)[:60].rstrip("-") or "video"


def _compare(former: Any, now: Any, chosen: bool) -> None:
    """Note where a repetition cannot be exact.

    Raises UserError where an adapter has changed that was not `chosen` anew.
    """
    if former is not None and former.loras != now.loras and not chosen:
        pairs = zip(now.request.loras, former.loras, now.loras, strict=True)
        changed = ", ".join(text for text, old, new in pairs if old != new)
        raise UserError(f"{changed} is not the adapter that made this file: bring that one back, or give --lora")
    if former is not None and former.fingerprint != now.fingerprint:
        log.warning("the model is not the one that made this file: expect another video")
    elif former is not None and former.threads != now.threads:
        log.warning(f"made with {former.threads} threads, now {now.threads}: the last bits may differ")


def _note_words(request: Any, record: dict[str, Any]) -> None:
    """Note the words that the model never read, and the nearest prompt it knows."""
    from worldpatch.text import _known

    prompt, known = str(request.params.get("prompt", "")), record.get("words", [])
    words = _known.unknown(prompt, known)
    if words and known:
        nearest = _known.nearest(prompt, record.get("captions", []), known)
        hint = f"; a prompt it knows: {nearest!r}" if nearest else ""
        log.warning(f"this model never read {', '.join(map(repr, words))}{hint}")


def _summary(result: Any, paths: list[Path], spent: float) -> str:
    _, count, height, width, _ = result.frames.shape
    length = "one frame" if count == 1 else f"{count} frames at {result.rate:g} per second, {count / result.rate:.3g} s"
    phases = ", ".join(f"{name} {clock(took)}" for name, took in result.seconds.items() if took > 0.05)
    written = amount(sum(path.stat().st_size for path in paths))
    return f"{', '.join(map(str, paths))}: {width}x{height}, {length}, {written}, made in {clock(spent)} ({phases})"
