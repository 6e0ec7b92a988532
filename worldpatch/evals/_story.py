"""How the best clip was found: as a story in words, as plain values for JSON, and as a sheet of all rivals."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worldpatch.evals.critic import Chosen, Round
from worldpatch.video import write
from worldpatch.video._atomic import atomic
from worldpatch.video.sheet import contact_sheet

SHOWN = 3  # faults of a clip that are named


def story(chosen: Chosen) -> str:
    """A line for each round: what was tried, what is still wrong with its best clip, whether that helped."""
    lines = [f"{chosen.rounds[0].step.prompt!r}"]
    for number, made in enumerate(chosen.rounds, start=1):
        lines.append(f"round {number}: {_tried(made)}: {_wrong(made)}{_judged(number, made)} ({made.seconds:.1f} s)")
    kept = chosen.rounds[chosen.best].step.pick + 1
    stop = "stopped; " if chosen.stopped else ""
    spent = sum(made.seconds for made in chosen.rounds)
    lines.append(f"{stop}kept clip {kept} of round {chosen.best + 1}, after {chosen.clips} clips and {spent:.1f} s")
    return "\n".join(lines)


def _tried(made: Round) -> str:
    clips = f"{made.step.count} clip{'s' * (made.step.count > 1)}"
    if made.step.source < 0:
        return clips if made.aim == "draw" else f"{clips} that {made.aim}"
    return f"{clips} of round {made.step.source + 1} with a part drawn again, for: {made.aim}"


def _wrong(made: Round) -> str:
    return f"the best has {_first(made.verdict.faults)}" if made.verdict.faults else "nothing is wrong with the best"


def _first(faults: Sequence[str]) -> str:
    more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return f"{', '.join(faults[:SHOWN])}{more}"


def _judged(number: int, made: Round) -> str:
    return "" if number == 1 else "; this helped" if made.helped else "; no help"


def record(chosen: Chosen) -> dict[str, Any]:
    """All rounds as plain values, every clip with its faults."""
    return {
        "request": asdict(chosen.request),
        "rounds": [
            {
                **asdict(made.step), "aim": made.aim, "helped": made.helped, "seconds": round(made.seconds, 3),
                "clips": [{"faults": v.faults, "surprise": _number(v.surprise)} for v in made.verdicts],
            }
            for made in chosen.rounds
        ],
        "best": chosen.best, "clips": chosen.clips, "stopped": chosen.stopped,
    }  # fmt: skip


def _number(value: float) -> float | None:
    return round(value, 5) if value < float("inf") else None


def files(output: Path) -> tuple[Path, Path]:
    """Where the record and the sheet of a search go whose clip is `output`."""
    return output.with_name(f"{output.stem}-critic.json"), output.with_name(f"{output.stem}-critic.png")


def check(output: Path) -> None:
    """Raises UserError if `save` would be refused; worth asking before the work."""
    write.check(files(output)[1])


def save(chosen: Chosen, output: Path) -> list[Path]:
    """Write the record as JSON, and a sheet with a clip in every cell, the kept ones first in each round's row."""
    text, sheet = files(output)
    with atomic(text) as temporary:
        temporary.write_text(json.dumps(record(chosen), indent=1) + "\n")
    clips, captions = [], []
    for number, made in enumerate(chosen.rounds):
        for i in sorted(range(made.step.count), key=lambda i: (i != made.step.pick, i)):
            mark = "KEPT, " if (number, i) == (chosen.best, made.step.pick) else ""
            clips.append(made.frames[i])
            captions.append(f"{mark}round {number + 1}, clip {i + 1}: {_first(made.verdicts[i].faults) or 'no fault'}")
    contact_sheet(clips, captions, sheet, columns=min(len(chosen.rounds[0].frames), 2))
    return [text, sheet]
