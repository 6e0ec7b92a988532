"""Under which licences a set's clips came, from where, and how much of each: the page that goes with a set."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldpatch.data import manifest

UNSTATED = "not stated"
COLUMNS = ("clip_id", "license", "source_uri", "duration_s")
SHOWN = 10  # sources of each licence on the page; the JSON names all


@dataclass(frozen=True, kw_only=True)
class Licence:
    """Clips and seconds under one licence, and clips per source, the largest first."""

    name: str
    clips: int
    seconds: float
    sources: dict[str, int]

    def json(self) -> dict[str, Any]:
        return {"licence": self.name, "clips": self.clips, "seconds": round(self.seconds, 3), "sources": self.sources}


def ledger(folder: Path) -> list[Licence]:
    """A set's licences, those of the most seconds first. Raises UserError as `manifest.read` does."""
    clips: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    sources: dict[str, Counter[str]] = {}
    for row in manifest.find(folder, COLUMNS).rows:
        name = row.license or UNSTATED
        clips[name] += 1
        seconds[name] = seconds.get(name, 0.0) + (row.duration_s or 0.0)
        sources.setdefault(name, Counter())[row.source_uri or UNSTATED] += 1
    names = sorted(clips, key=lambda name: (-seconds[name], name))
    return [
        Licence(name=name, clips=clips[name], seconds=seconds[name], sources=dict(sources[name].most_common()))
        for name in names
    ]


def markdown(entries: list[Licence]) -> str:
    """The ledger as a page."""
    clips, seconds = sum(e.clips for e in entries), sum(e.seconds for e in entries)
    lines = ["# Licences", "", f"{clips} clips, {seconds:.1f} seconds.", ""]
    lines += ["| licence | clips | seconds | sources |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {_cell(e.name)} | {e.clips} | {e.seconds:.1f} | {len(e.sources)} |" for e in entries]
    for entry in entries:
        lines += ["", f"## {entry.name}", ""]
        lines += [f"- {source}: {count} clips" for source, count in list(entry.sources.items())[:SHOWN]]
        if len(entry.sources) > SHOWN:
            lines.append(f"- and {len(entry.sources) - SHOWN} more sources, all in the JSON")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
