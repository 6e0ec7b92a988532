"""Are the shipped captioner's captions true? Attribute by attribute, on clips that no training saw.

    python benchmarks/captions.py [--cache out/captions] [--sheet out/captions.png] [--short] [-o result.md]

Clips of levels 1 and 2 as rendered, as they come out of an MP4 (H.264, as data sets keep them), and as the shipped
autoencoder decodes them. Beside each figure is chance: what the most frequent answer of these very clips would get. An
eighth of the clips or so shows a pair of colour and shape that is kept out of training (`worlds/_holdout.py`); their
shapes are counted apart.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from _machine import Report, parser

from worldpatch.data import bank
from worldpatch.data.captioners import own
from worldpatch.evals import _told
from worldpatch.generate import find
from worldpatch.generate.pipeline import load_vae
from worldpatch.text import _writer
from worldpatch.types import Clip, Truth
from worldpatch.vae._pixels import to_tensor, to_uint8
from worldpatch.video.read import read
from worldpatch.video.sheet import contact_sheet
from worldpatch.video.write import write
from worldpatch.worlds._holdout import UNSEEN_PAIRS

FIRST = 50_000_000  # index of the clips, which no other set of the project contains
LEVELS = {1: 96, 2: 192}
SHOWN = 24

Frames = np.ndarray


def clips(cache: Path, level: int, count: int) -> list[Clip]:
    folder = cache / f"level{level}-{count}"
    found = bank.load(folder, "tabletop", {"level": level}, 0, range(FIRST, FIRST + count), workers=0)
    return [found.clip(k) for k in range(count)]


def truths(some: Sequence[Clip]) -> list[Truth]:
    return [clip.truth for clip in some if clip.truth is not None]


def through_a_file(clip: Clip) -> Frames:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "clip.mp4", clip.frames, clip.rate)
        return read(Path(folder) / "clip.mp4")[0]


def through_the_autoencoder() -> Callable[[Clip], Frames]:
    vae = load_vae(find("tabletop")).requires_grad_(False)
    return lambda clip: to_uint8(vae.decode(vae.encode(to_tensor(clip.frames)[None]))[0])


def told(captioner: own.Captioner, some: Sequence[Clip], seen: Callable[[Clip], Frames]) -> list[dict[str, str]]:
    answers = captioner.caption([(str(i), seen(clip), clip.rate) for i, clip in enumerate(some)])
    return [answer.captions for answer in answers]


def by_pair(marks: Sequence[_told.Marks], some: Sequence[Truth]) -> dict[str, str]:
    """Shapes of solids whose pair of colour and shape training saw, and of those it did not."""
    found: dict[bool, list[bool]] = {False: [], True: []}
    for mark, truth in zip(marks, some, strict=True):
        for right, item in zip(mark["shape"], truth.objects, strict=True):
            found[(item["colour"], item["shape"]) in UNSEEN_PAIRS].append(right)
    return {
        name: f"{sum(found[new]) / max(1, len(found[new])):.0%} of {len(found[new])}"
        for name, new in (("of seen pairs", False), ("of unseen pairs", True))
    }


def judged(report: Report, captioner: own.Captioner, level: int, some: list[Clip], sheet: Path | None) -> None:
    """The table of a level."""
    ways: dict[str, Callable[[Clip], Frames]] = {
        "rendered": lambda clip: clip.frames, "out of an MP4": through_a_file, "decoded": through_the_autoencoder(),
    }  # fmt: skip
    true = truths(some)
    said = {name: told(captioner, some, way) for name, way in ways.items()}
    rates, shapes = {}, {}
    for name, captions in said.items():
        for kind in ("dense", "terse"):
            marks = [_told.marks(c[kind], t) for c, t in zip(captions, true, strict=True)]
            rates[name, kind], shapes[name, kind] = _told.rates(marks), by_pair(marks, true)
    columns = [(name, "dense") for name in ways] + [("rendered", "terse")]
    chance = _told.chance(true)
    rows = [
        (attribute, *(f"{rates[column][attribute]:.0%}" for column in columns), f"{chance[attribute]:.0%}")
        for attribute in chance
    ]
    for name in ("of seen pairs", "of unseen pairs"):
        rows.append((f"shape {name}", *(shapes[column][name] for column in columns), ""))
    exact = np.mean([c["dense"] == clip.captions["dense"] for c, clip in zip(said["rendered"], some, strict=True)])
    report.say(f"\n## Level {level}: {len(some)} clips\n")
    report.say(f"Word for word the world's own dense caption: {exact:.0%} (it words at random).")
    report.table(("attribute", *(f"{name}, {kind}" for name, kind in columns), "most frequent answer"), rows)
    margin = {name: rates["rendered", "dense"][name] - chance[name] for name in chance}
    least = min((m for name, m in margin.items() if chance[name] < 1), default=0.0)
    claim = "every attribute above the most frequent answer"
    report.bars([(claim, "by 20 points", f"{100 * least:+.0f}", least >= 0.2)])
    if sheet:
        shown = list(zip(said["rendered"], some, strict=True))[:SHOWN]
        lines = [f"{c['dense']}\n{c['terse']}\n({clip.captions['dense']})" for c, clip in shown]
        frames = [clip.frames for _, clip in shown]
        contact_sheet(frames, lines, sheet.with_stem(f"{sheet.stem}-{level}"), columns=2)


@torch.no_grad()
def main() -> None:
    made = parser(__doc__)
    made.add_argument("--cache", type=Path, default=Path("out/captions"), help="where rendered clips are kept")
    made.add_argument("--sheet", type=Path, help="also show clips with what is said about them, a PNG per level")
    arguments = made.parse_args()
    torch.set_num_threads(1)
    report = Report("Captions of the shipped captioner", arguments)
    captioner = own.Captioner(own.Config())
    size = sum(path.stat().st_size for path in _writer.find("captioner").iterdir() if path.suffix != ".md")
    report.say(f"- captioner: {captioner.name}, {size / 1e6:.2f} MB with its tokenizer and record")
    for level, count in LEVELS.items():
        some = clips(arguments.cache, level, 8 if arguments.short else count)
        begun = time.process_time()
        told(captioner, some, lambda clip: clip.frames)
        spent = time.process_time() - begun
        judged(report, captioner, level, some, arguments.sheet)
        report.say(f"\nSeconds of one core per clip, both captions: {spent / len(some):.3f}.")
    report.finish()


if __name__ == "__main__":
    main()
