"""Captions of clips by a captioner, joined by the clips' names, with clips of known truth among them."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from worldpatch.data.captioners import Captioner
from worldpatch.data.captioners._integrity import Canary, canaries, checked
from worldpatch.data.curate.ledger import Ledger
from worldpatch.data.curate.split import media
from worldpatch.video import read

TOGETHER = 64  # clips that are read and asked about at a time
log = logging.getLogger(__name__)


def describe(
    ids: Iterable[str], work: Path, captioner: Captioner, ledger: Ledger, progress: Callable[[int, int], None]
) -> list[str]:
    """Ask about all clips that have no caption by this captioner yet; answers go to the ledger, errors do not, so that
    they are asked about again. Returns what is wrong with the answers as a whole."""
    asked = [i for i in ids if ledger.get("caption", key(i, captioner.name)) is None]
    alarms: list[str] = []
    known = _canaries() if asked else []
    done = 0
    for group in _groups(asked, TOGETHER):
        clips = [(i, *read.read(media(work, i))) for i in group]
        answers, found = checked(captioner, clips, known)
        alarms += [alarm.text for alarm in found]
        known = []  # once a run
        for i, answer in answers.items():
            if answer.error:
                log.warning("clip %s has no caption: %s", i, answer.error)
                continue
            value = {"captions": answer.captions, "tokens": list(answer.tokens), "cost": answer.cost}
            ledger.put("caption", key(i, captioner.name), value)
        done += len(group)
        progress(done, len(asked))
    return alarms


def key(identity: str, captioner: str) -> str:
    return f"{identity}:{captioner}"


def _canaries() -> list[Canary]:
    try:
        return canaries()
    except ImportError:
        log.warning("captions are not checked on clips of known truth: pip install 'worldpatch[worlds]' for that")
        return []


def _groups(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while group := list(itertools.islice(rest, size)):
        yield group
