"""`worldpatch data`: worlds and videos become data sets; previews of worlds, shots of videos."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli import curate, exchange
from worldpatch.cli._listing import listing
from worldpatch.cli._parse import assign, device, size
from worldpatch.cli._progress import amount, clock, meter
from worldpatch.config import UserError

app = typer.Typer(no_args_is_help=True, help="Data sets: from worlds, and from videos.")
exchange.register(app)
curate.register(app)

World = Annotated[str, typer.Argument(help=f"One of {listing('worlds')}.")]
Level = Annotated[int | None, typer.Option(help="How much happens: the world's difficulty dial.")]
Seed = Annotated[int, typer.Option(help="Another seed, other clips.")]
Size = Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT in pixels.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key=value: any other field of the world's Config.")]
Workers = Annotated[int | None, typer.Option(help="Rendering processes.  [default: one per core]")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]


@app.command()
def build(
    sources: Annotated[
        list[str],
        typer.Argument(help=f"A world ({listing('worlds')}), or videos, pictures, folders and lists of them."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the set; one that was stopped goes on where it was.")],
    vae: Annotated[
        str, typer.Option(help="Autoencoder for latents: a model's name or folder; a world needs one.")
    ] = "",
    workers: Annotated[int | None, typer.Option(help="Processes.  [default: one per core]")] = None,
    device_: Annotated[str, typer.Option("--device", help="Where to encode: auto, cpu, cuda, ...")] = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="key=value: a field of the world's Config; of videos limits.*, spans.*, shape.*, shots or weights",
        ),
    ] = None,
    clips: Annotated[
        int | None, typer.Option(help="World: how many; those reserved for evaluation are left out.")
    ] = None,
    level: Annotated[int | None, typer.Option(help="World: how much happens, its difficulty dial.")] = None,
    seed: Annotated[int, typer.Option(help="World: another seed, other clips.")] = 0,
    first: Annotated[int, typer.Option(help="World: index of the first clip, so that sets need not overlap.")] = 0,
    size_: Annotated[str | None, typer.Option("--size", help="World: WIDTHxHEIGHT in pixels.")] = None,
    recolours: Annotated[int, typer.Option(help="World: versions of each clip in other colours.")] = 0,
    side: Annotated[int, typer.Option(help="Videos: pixels of a clip's longer side, at most.")] = 256,
    shortest: Annotated[float, typer.Option(help="Videos: seconds of the shortest clip.")] = 1.0,
    longest: Annotated[float, typer.Option(help="Videos: seconds of the longest clip.")] = 10.0,
    licence: Annotated[str, typer.Option(help="Videos: licence of all that do not state theirs.")] = "",
    copies: Annotated[bool, typer.Option("--keep-copies", help="Videos: do not look for copies.")] = False,
    captioner: Annotated[str, typer.Option(help=f"Videos: one of {listing('data/captioners')}.")] = "",
    caption_url: Annotated[str, typer.Option(help="Captioner endpoint: its address.")] = "",
    caption_model: Annotated[str, typer.Option(help="Captioners endpoint and huggingface: the model.")] = "",
    caption_set: Annotated[list[str] | None, typer.Option(help="key=value: another option of the captioner.")] = None,
    scorer: Annotated[list[str] | None, typer.Option(help=f"Videos: also score by {listing('data/scorers')}.")] = None,
    score: Annotated[list[str] | None, typer.Option(help="scorer.key=value: an option of a scorer.")] = None,
    engine: Annotated[str, typer.Option(help=f"Videos: one of {listing('data/engines')}.")] = "local",
    address: Annotated[str, typer.Option(help="Videos: of a running Ray cluster.")] = "",
    quiet: Quiet = False,
) -> None:
    """Build a training set that other tools can read, from a world or from real videos and pictures."""
    from worldpatch import config

    if len(sources) == 1 and sources[0] in config.available("worlds") and not Path(sources[0]).exists():
        _needed("clips", clips, 1)
        for name, value in (("recolours", recolours), ("first", first), ("seed", seed)):
            _needed(name, value, 0)
        if not vae:
            raise UserError(f"{sources[0]} is stored as latents: name the autoencoder with --vae, such as tabletop")
        options = _options(sources[0], level, size_, set_)
        values = {"clips": clips, "seed": seed, "first": first, "recolours": recolours, "workers": _workers(workers)}
        _world(sources[0], options, values, vae, out, device(device_), quiet)
        return
    if clips is not None or level is not None or size_ is not None:
        if len(sources) == 1 and not Path(sources[0]).exists():
            config.resolve("worlds", sources[0])
        named = ", ".join(sources)
        raise UserError(f"--clips, --level and --size are for worlds, and {named} is none; worlds: {listing('worlds')}")
    if shortest <= 0 or longest < shortest:
        raise UserError(
            f"clips of {shortest:g} to {longest:g} seconds: the longest must not be under the shortest, nor 0"
        )
    _needed("side", side, 16)
    settings = {"shape": {"side": side}, "spans": {"shortest": shortest, "longest": longest}}
    plan = {
        "sources": tuple(sources), "settings": settings, "licence": licence, "copies": copies, "engine": engine,
        "address": address, "workers": _workers(workers), "vae": str(_folder_of_vae(vae)) if vae else "",
        "device": device(device_) if vae or captioner else "cpu", "scorers": curate.scorers(scorer or [], score or []),
    }  # fmt: skip
    who = curate.captioner(captioner, caption_url, caption_model, caption_set or [])
    curate.videos(plan, set_ or [], who, out, quiet)


def _world(
    world: str, options: dict[str, Any], values: dict[str, Any], vae: str, out: Path, where: str, quiet: bool
) -> None:
    """Render clips of a world, encode them, and write shards that training reads."""
    begun = time.monotonic()
    from worldpatch.data import build as building
    from worldpatch.vae import _load

    plan = building.Build(world=world, options=options, **values)
    with meter(quiet) as progress:
        made = building.build(
            plan, out, _load.load(_folder_of_vae(vae)).to(where), device=where,
            progress=lambda done, total: progress("clips", done, total),
        )  # fmt: skip
    if not quiet:
        written = amount(sum(shard.stat().st_size for shard in out.glob("shard-*.tar")))
        print(f"{out}: {made} clips, {written}, made in {clock(time.monotonic() - begun)}")


def _needed(name: str, value: int | None, least: int) -> None:
    if value is None or value < least:
        raise UserError(f"{name} {value} must be at least {least}" if value is not None else f"--{name} is missing")


@app.command()
def preview(
    world: World,
    output: Annotated[Path, typer.Option("--output", "-o", help="The contact sheet, a PNG.")],
    level: Level = None,
    clips: Annotated[int, typer.Option(help="How many.")] = 16,
    seed: Seed = 0,
    size_: Size = None,
    style: Annotated[str | None, typer.Option(help="Style of the captions.  [default: each clip's first]")] = None,
    workers: Workers = None,
    set_: Set = None,
    quiet: Quiet = False,
) -> None:
    """A contact sheet of a world's clips with their captions."""
    if not 1 <= clips <= 400:
        raise UserError(f"clips {clips} is outside 1 to 400, which is what fits on a sheet")
    options = _options(world, level, size_, set_)
    from worldpatch.data import render
    from worldpatch.video import sheet, write

    if output.suffix.lower() != ".png":
        raise UserError(f"cannot write {output}: a contact sheet is a .png")
    write.check(output)
    films, captions = [], []
    with meter(quiet) as progress:
        for i, clip in enumerate(render.clips(world, options, seed, range(clips), _workers(workers))):
            if style is not None and style not in clip.captions:
                raise UserError(f"caption style {style!r} is unknown; known: {', '.join(clip.captions)}")
            films.append(clip.frames)
            captions.append(clip.captions[style or next(iter(clip.captions))])
            progress("clips", i + 1, clips)
        sheet.contact_sheet(films, captions, output)
    if not quiet:
        print(f"{output}: {clips} clips of {world}")


@app.command()
def shots(
    file: Annotated[Path, typer.Argument(help="A video.")],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object: the rate and all boundaries.")] = False,
    detector: Annotated[str, typer.Option(help="adaptive or transnetv2, which needs --weights.")] = "adaptive",
    weights: Annotated[str, typer.Option(help="File of TransNetV2 as TorchScript.")] = "",
) -> None:
    """Print where a video's shots begin: the first new frame, its time, and what it is: cut, fade or dissolve."""
    from worldpatch.data.shots import detect

    rate, found = detect(file, detector, weights)
    if json_:
        print(json.dumps({"file": str(file), "rate": rate, "boundaries": [b.json() for b in found]}, indent=1))
        return
    for b in found:
        span = "" if b.start == b.stop else f", frames {b.start} to {b.stop}"
        print(f"{b.time:9.3f} s  frame {b.frame:6}  {b.kind}{span}")
    print(f"{len(found)} boundaries" if found else "one shot")


def _options(world: str, level: int | None, size_: str | None, assignments: list[str] | None) -> dict[str, Any]:
    """The world's Config as plain values, checked."""
    from worldpatch import config

    options: dict[str, Any] = {} if level is None else {"level": level}
    if size_ is not None:
        options["width"], options["height"] = size(size_)
    options = assign(options, assignments or [])
    config.build(config.resolve("worlds", world).Config, options, f"{world}.")
    return options


def _workers(count: int | None) -> int:
    import os

    if count is not None and count < 0:
        raise UserError(f"workers {count} must be at least 0, which renders in this process")
    return (os.cpu_count() or 1) if count is None else count


def _folder_of_vae(name: str) -> Path:
    from worldpatch.generate.models import shipped

    return shipped().get(name, Path(name))
