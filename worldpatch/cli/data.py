"""`worldpatch data`: worlds become data sets and contact sheets."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli._listing import listing
from worldpatch.cli._parse import assign, device, size
from worldpatch.cli._progress import amount, clock, meter
from worldpatch.config import UserError

app = typer.Typer(no_args_is_help=True, help="Data sets: from worlds, and from videos.")

World = Annotated[str, typer.Argument(help=f"One of {listing('worlds')}.")]
Level = Annotated[int | None, typer.Option(help="How much happens: the world's difficulty dial.")]
Seed = Annotated[int, typer.Option(help="Another seed, other clips.")]
Size = Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT in pixels.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key=value: any other field of the world's Config.")]
Workers = Annotated[int | None, typer.Option(help="Rendering processes.  [default: one per core]")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]


@app.command()
def build(
    world: World,
    clips: Annotated[int, typer.Option(help="How many to render; those reserved for evaluation are left out.")],
    vae: Annotated[str, typer.Option(help="Model name or folder of the autoencoder that encodes the clips.")],
    out: Annotated[Path, typer.Option(help="Folder of the set; one that was stopped goes on where it was.")],
    level: Level = None,
    seed: Seed = 0,
    first: Annotated[int, typer.Option(help="Index of the first clip, so that sets need not overlap.")] = 0,
    size_: Size = None,
    recolours: Annotated[int, typer.Option(help="Versions of each clip in other colours.")] = 0,
    workers: Workers = None,
    device_: Annotated[str, typer.Option("--device", help="Where to encode: auto, cpu, cuda, ...")] = "auto",
    set_: Set = None,
    quiet: Quiet = False,
) -> None:
    """Render clips of a world, encode them, and write shards that training reads."""
    begun = time.monotonic()
    for name, value, least in (
        ("clips", clips, 1),
        ("recolours", recolours, 0),
        ("first", first, 0),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{name} {value} must be at least {least}")
    options = _options(world, level, size_, set_)
    from worldpatch.data import build as building

    plan = building.Build(
        world=world,
        clips=clips,
        options=options,
        seed=seed,
        first=first,
        recolours=recolours,
        workers=_workers(workers),
    )
    where = device(device_)
    with meter(quiet) as progress:
        made = building.build(
            plan, out, _autoencoder(vae).to(where), device=where,
            progress=lambda done, total: progress("clips", done, total),
        )  # fmt: skip
    if not quiet:
        written = amount(sum(shard.stat().st_size for shard in out.glob("shard-*.tar")))
        print(f"{out}: {made} clips, {written}, made in {clock(time.monotonic() - begun)}")


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
) -> None:
    """Print where a video's shots begin: the first new frame, its time, and what it is: cut, fade or dissolve."""
    from worldpatch.data.shots import detect

    rate, found = detect(file)
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


def _autoencoder(name: str) -> Any:
    from worldpatch.generate.models import shipped
    from worldpatch.generate.pipeline import load_vae

    return load_vae(shipped().get(name, Path(name)))
