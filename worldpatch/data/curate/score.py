"""Scores of clips by learned scorers, one file each in `data/scorers/`, which each worker loads once."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data.curate.records import Job
from worldpatch.data.curate.split import media
from worldpatch.video import read


def score(job: Job) -> dict[str, float]:
    """{"id", "work", "scorer", "options", "caption"} -> scores by name."""
    frames, rate = read.read(media(Path(job["work"]), job["id"]))
    return _scorer(job["scorer"], json.dumps(job["options"], sort_keys=True)).score(frames, rate, job["caption"])


def check(name: str, options: dict[str, Any]) -> None:
    """Make a scorer and let it go: what is missing is said before work begins. Raises UserError."""
    _made(name, options)


def key(clip: str, name: str, options: dict[str, Any], caption: str) -> str:
    """Another scorer, other options or another caption: another score."""
    asked = json.dumps([options, caption], sort_keys=True)
    return f"{clip}:{name}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


@cache
def _scorer(name: str, options: str) -> Any:
    return _made(name, json.loads(options))


def _made(name: str, options: dict[str, Any]) -> Any:
    module = config.resolve("data/scorers", name)
    try:
        chosen = config.build(module.Config, options, f"{name}.")
    except TypeError as error:
        raise UserError(f"an option of the scorer {name} is of the wrong kind ({error}): see its Config") from error
    return module.Scorer(chosen)
