"""Contact sheets: clips as filmstrips with their captions, for eyes to judge."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from worldpatch.video._atomic import atomic

PAPER, INK = (250, 250, 248), (38, 40, 44)
MARGIN = 20  # around the sheet and between cells, pixels
GAP = 3  # between the frames of a strip
TEXT = 14  # size of the captions
LEADING = 18  # height of a line of text
EDGE = 128  # frames are enlarged until their longer side is about this
NARROWEST = 200  # a caption gets at least this width
WIDEST = 1600  # a sheet takes as many columns as fit into this


def filmstrip(
    frames: UInt8[np.ndarray, "t h w 3"], count: int = 6, scale: int = 1
) -> UInt8[np.ndarray, "height width 3"]:
    """`count` frames, or all of a shorter clip, evenly spaced from the first to the last, side by side.

    `scale` is a whole number: pixels are repeated, so that the strip shows what is there and nothing smoother.
    """
    shown = frames[np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))]
    shown = shown.repeat(scale, axis=1).repeat(scale, axis=2)
    n, h, w, _ = shown.shape
    strip = np.full((h, n * w + (n - 1) * GAP, 3), PAPER, np.uint8)
    for index, frame in enumerate(shown):
        strip[:, index * (w + GAP) :][:, :w] = frame
    return strip


def contact_sheet(
    clips: Sequence[UInt8[np.ndarray, "_ _ _ 3"]],
    captions: Sequence[str],
    path: str | Path,
    columns: int | None = None,
    frames_per_clip: int = 6,
    scale: int | None = None,
) -> None:
    """A PNG of one filmstrip per clip with its caption below; clips may differ in size and length.

    By default frames are enlarged to about 128 pixels and the columns fill 1600 pixels. A line break in a caption is
    kept. Raises UserError where `path` cannot be written.
    """
    assert len(clips) == len(captions), f"{len(clips)} clips, {len(captions)} captions"
    assert clips, "a sheet needs a clip"
    strips = [filmstrip(clip, frames_per_clip, scale or max(1, round(EDGE / max(clip.shape[1:3])))) for clip in clips]
    width = max(NARROWEST, *(strip.shape[1] for strip in strips))
    columns = columns or min(len(clips), max(1, (WIDEST - MARGIN) // (width + MARGIN)))
    cells = [_cell(strip, caption, width) for strip, caption in zip(strips, captions, strict=True)]
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]

    sheet = Image.new("RGB", (MARGIN + columns * (width + MARGIN), MARGIN + sum(heights) + MARGIN * len(rows)), PAPER)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (MARGIN + column * (width + MARGIN), top))
        top += height + MARGIN
    with atomic(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _cell(strip: UInt8[np.ndarray, "h w 3"], caption: str, width: int) -> Image.Image:
    font = ImageFont.load_default(TEXT)
    lines = _wrap(caption, font, width)
    cell = Image.new("RGB", (width, strip.shape[0] + 6 + LEADING * len(lines)), PAPER)
    cell.paste(Image.fromarray(strip), (0, 0))
    draw = ImageDraw.Draw(cell)
    for index, line in enumerate(lines):
        draw.text((0, strip.shape[0] + 6 + LEADING * index), line, INK, font)
    return cell


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines no wider than `width` pixels; a single word that is wider is left to run over and is cut by the cell."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
