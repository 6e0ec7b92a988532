"""Frames to the files that clients fetch."""

import io
import itertools
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from worldpatch import config
from worldpatch.generate import files
from worldpatch.generate.pipeline import Pipeline
from worldpatch.safety.credentials import Ingredient
from worldpatch.safety.watermark import LONGEST, Marker, looked_at
from worldpatch.serve import objects
from worldpatch.serve.house import House
from worldpatch.serve.objects import Objects
from worldpatch.types import Request, Result
from worldpatch.video import read
from worldpatch.video import write as video
from worldpatch.video.planes import RANGE, Planes
from worldpatch.video.resize import fit

Frames = UInt8[np.ndarray, "t h w 3"]

WHOLE = ("video.mp4", "picture.png")
SIGNED = (*WHOLE, "thumbnail.webp", "spritesheet.jpg")
SHOWN = 16  # frames of a sprite sheet at most, in rows of four
PREVIEW = 256  # pixels of a preview's longer side
WIDEST_GIF = 480  # pixels of the longer side of a GIF, at most
SPRITE = 160  # pixels of its frames' longer side, at most


def write(
    result: Result, row: Any, pipeline: Pipeline, folder: Path, model: Path, parts: tuple[Ingredient, ...], house: House
) -> dict[str, Any]:
    """The files of every variant, in a folder each: what was drawn with its latents, and, marked and signed, what is
    shown. What is told of them: size, seconds, rate, provenance, and the numbers of the watermarks.

    `parts` are what the video is made of. What was drawn stays as it is: what goes on from it begins there."""
    facts = row["facts"]
    recipe = files.recipe(result.request, model)
    height, width = result.frames.shape[2:4]
    shown = (width, height) if facts["size"] is None else tuple(facts["size"])
    count = result.frames.shape[1]
    if facts["seconds"]:  # drawn in whole groups of frames, shown for as long as was asked
        count = min(count, max(1, round(facts["seconds"] * result.rate)))
    marks: list[int | None] = []
    with ThreadPoolExecutor() as pool:  # one encoder alone leaves processors idle
        for k, frames in enumerate(result.frames.numpy()):
            own = folder / str(k)
            own.mkdir(parents=True)
            drawn = pool.submit(files.save, _one(result, k), own / "drawn.mp4", recipe, pipeline.spec)
            seen, id = Planes(frames[:count], shown[1], shown[0]), named(row["id"], k)
            mark = house.provenance.mark(seen.shape, id)
            marks.append(mark)
            if mark is not None:
                _mark(seen, mark)
            exact = fit(frames, shown[1], shown[0]) if len(frames) == 1 else None
            pictures = pool.submit(_pictures, seen, exact, own)
            _video(seen, result.rate, own / "video.mp4", lambda n, k=k: objects.part(row["id"], n, k), house.objects)
            for written in (drawn, pictures):
                written.result()
            for name in SIGNED:
                if (own / name).exists():
                    told = mark if name in WHOLE else None  # smaller pictures may have lost it
                    claim = house.provenance.claim(result.request, recipe.fingerprint, name, id, told, parts)
                    house.provenance.sign(own / name, claim)
    return {
        "size": list(shown), "seconds": round(count / result.rate, 3), "rate": result.rate, "marks": marks,
        "fingerprint": recipe.fingerprint,
        "provenance": house.provenance.told(),
    }  # fmt: skip


def named(video: str, variant: int) -> str:
    """What credentials and watermarks call a variant."""
    return video if variant == 0 else f"{video}-{variant}"


def _mark(clip: Planes, number: int) -> None:
    """Watermarks a clip in its place."""
    marker = Marker(clip.mean(LONGEST), clip.pixels(looked_at(*clip.shape)), number)
    for k in range(len(clip.frames)):
        marker.put(clip.luma(k), RANGE)


def _video(clip: Planes, rate: float, path: Path, name: Callable[[int], str], store: Objects) -> None:
    """A file, and its pieces in the store from the moment they are encoded, for whoever looks on."""
    parts: list[bytes] = []

    def keep(part: bytes) -> None:
        store.put_bytes(name(len(parts)), part)
        parts.append(part)

    video.write_parts(clip, clip.shape[1:], rate, keep)
    video.join_parts(b"".join(parts), path)


# ------------------------------------------------------------------------------------------------ made when asked for


def _gif(source: Path, path: Path) -> None:
    frames, rate = read.read(source)
    height, width = frames.shape[1:3]
    scale = min(1.0, WIDEST_GIF / max(height, width))
    video.write(path, fit(frames, max(1, round(height * scale)), max(1, round(width * scale))), rate)


def _zipped(source: Path, path: Path) -> None:
    frames, _ = read.read(source)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNGs do not shrink
        for number, frame in enumerate(frames):
            out = io.BytesIO()
            Image.fromarray(frame).save(out, "PNG")
            archive.writestr(zipfile.ZipInfo(f"{number:05d}.png"), out.getvalue())  # the same bytes whenever it is made


def _frame(number: int) -> Callable[[Path, Path], None]:
    def make(source: Path, path: Path) -> None:
        frames, _ = read.read(source)
        Image.fromarray(frames[number]).save(path)

    return make


def sign_derived(path: Path, source: Path, row: Any, variant: int, house: House) -> None:
    """What comes out of a video's file is signed as that; a zip holds no credentials."""
    if path.suffix != ".zip":
        part = Ingredient(path=source, relationship="parentOf", title=row["id"])
        request = config.build(Request, row["request"])
        id = named(row["id"], variant)
        claim = house.provenance.claim(request, row["result"]["fingerprint"], path.name, id, None, (part,))
        house.provenance.sign(path, claim)


DERIVED: dict[str, Callable[[Path, Path], None]] = {
    "gif": _gif, "frames": _zipped, "first_frame": _frame(0), "last_frame": _frame(-1),
}  # fmt: skip
"""What can be had of a video's file besides: made when somebody asks for it, and kept."""


def moving(frames: np.ndarray, rate: float) -> bytes:
    """A preview, enlarged, as a looping WebP."""
    scale = max(1, PREVIEW // max(frames.shape[1:3]))
    size = frames.shape[2] * scale, frames.shape[1] * scale
    pictures = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames]
    out, each = io.BytesIO(), max(1, round(1000 / rate))
    pictures[0].save(
        out, "WEBP", save_all=True, append_images=pictures[1:], duration=each, loop=0, quality=70, method=0
    )
    return out.getvalue()


def _one(result: Result, k: int) -> Result:
    return replace(result, frames=result.frames[k : k + 1], latents=result.latents[k : k + 1])


def _pictures(clip: Planes, exact: Frames | None, folder: Path) -> None:
    """What is shown of a clip, and of one of a single frame that very picture."""
    if exact is not None:
        video.write(folder / "picture.png", exact, 1.0)
    Image.fromarray(clip.pixels([0])[0]).save(folder / "thumbnail.webp", quality=90)
    count, height, width = clip.shape
    scale = min(1.0, SPRITE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    numbers = sorted({round(at) for at in np.linspace(0, count - 1, min(SHOWN, count))})
    chosen = clip.pixels(numbers, size[1], size[0])
    rows = [chosen[i : i + 4] for i in range(0, len(chosen), 4)]
    sheet = Image.new("RGB", (size[0] * len(rows[0]), size[1] * len(rows)))
    for (y, row), x in itertools.product(enumerate(rows), range(4)):
        if x < len(row):
            sheet.paste(Image.fromarray(row[x]), (x * size[0], y * size[1]))
    sheet.save(folder / "spritesheet.jpg", quality=88)
