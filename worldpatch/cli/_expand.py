"""Whether a prompt is told more fully before it is sampled, by whom, and what of that a file remembers."""

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

from worldpatch.config import UserError

log = logging.getLogger(__name__)

DEFAULT = False  # +1.5 points at level 1, -1.5 at level 2: benchmarks/expansion.md and expansion_level2.md


@dataclass(frozen=True, kw_only=True)
class Flags:
    """`on` None: as is usual. `url` and `model` of an endpoint, where the shipped expander is not to do it."""

    on: bool | None = None
    url: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        if (self.url is None) != (self.model is None):
            raise UserError("--expand-url and --expand-model name an endpoint together; give both or neither")
        if self.on is False and self.url:
            raise UserError("--no-expand and --expand-url contradict each other; give one of them")


def expanded(
    request: Any, former: Any, typed: bool, flags: Flags, words: list[str]
) -> tuple[Any, dict[str, Any] | None]:
    """The request with its prompt told in full, and the record of that; (the request, None) where it is not.

    `typed` says that the prompt is a new one: that of a former file is what it became then, or with --no-expand what
    it was.
    """
    kept = None if typed or former is None else former.expansion
    prompt = kept["prompt"] if kept else request.params.get("prompt", "")
    on = flags.on if flags.on is not None else bool(flags.url) or (typed and DEFAULT)
    own_words = replace(request, params={**request.params, "prompt": prompt}) if kept else request
    if not on or not prompt:
        return (request, kept) if flags.on is None else (own_words, None)
    made, note = _made(prompt, flags, words)
    if made is None or made.note:
        if flags.on or flags.url:  # where nobody asked for it, nothing is missing
            log.warning(f"the prompt stays as it is: {note}")
        return own_words, None
    return replace(request, params={**request.params, "prompt": made.text}), asdict(made)


def _made(prompt: str, flags: Flags, words: list[str]) -> tuple[Any, str]:
    """The expansion, and why there is none."""
    from worldpatch.generate import expand
    from worldpatch.text._chat import Endpoint

    try:
        expander = expand.Asked(Endpoint(url=flags.url, model=flags.model or "")) if flags.url else expand.Own()
    except UserError as error:
        if flags.on or flags.url:
            raise
        return None, str(error)
    made = expand.expand(prompt, expander, words)
    return made, made.note
