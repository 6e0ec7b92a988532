"""What a picture or video says of where it comes from, by its content credentials and its watermark -> a verdict."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from worldpatch.generate import provenance
from worldpatch.safety import credentials
from worldpatch.safety.credentials import Ancestor, Credentials
from worldpatch.video import read

Outcome = Literal["found", "stranger", "nothing", "damaged"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a file carries: its credentials, the number of its watermark, and what could not be looked for and why."""

    file: str
    credentials: Credentials | None = None
    mark: int | None = None
    missed: dict[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """Credentials of somebody we trust or a watermark were "found"; or credentials of a "stranger", or "nothing",
        or credentials that are "damaged": whoever trusts a watermark then should know that somebody changed the file.
        """
        state = self.credentials.state if self.credentials else None
        if state == "invalid":
            return "damaged"
        if state == "trusted" or self.mark is not None:
            return "found"
        return "stranger" if state == "valid" else "nothing"

    def lines(self) -> list[str]:
        """The same for people."""
        told = ["no content credentials"] if self.credentials is None and "credentials" not in self.missed else []
        if self.credentials is not None:
            told += _told(self.credentials)
        named = self._named()
        if self.mark is not None:
            agree = "" if named is None else ", as signed" if named == self.mark else f", but {_hex(named)} was signed"
            told.append(f"watermark {_hex(self.mark)}{agree}")
        elif named is not None:
            told.append(f"the watermark {_hex(named)} was signed, and is not to be found")
        elif "watermark" not in self.missed:
            told.append("no watermark")
        return told + [f"{what} not looked for: {why}" for what, why in self.missed.items()]

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "file": self.file, "outcome": self.outcome,
            "credentials": None if self.credentials is None else _plain(asdict(self.credentials)),
            "watermark": None if self.mark is None else {"id": _hex(self.mark)},
            "not_looked_for": self.missed, "told": self.lines(),
        }  # fmt: skip

    def _named(self) -> int | None:
        """The watermark that the credentials name."""
        bindings = self.credentials.bindings if self.credentials else ()
        return next((int.from_bytes(b.value, "big") for b in bindings if b.algorithm == provenance.WATERMARK), None)


def verify(path: Path, settings: provenance.Settings) -> Verdict:
    """What a picture or video says of itself, by its credentials and by its watermark.

    Trusted are our own certificates and the anchors of the settings. Raises UserError where the file is neither picture
    nor video.
    """
    _, frames = read.stream(path)
    missed: dict[str, str] = {}
    found, mark = None, None
    try:
        found = credentials.read(path, provenance.trusted(settings))
    except ModuleNotFoundError as error:
        missed["credentials"] = f"{error.name} is not installed (worldpatch[serve] brings it)"
    try:
        from worldpatch.safety.watermark import find

        seen = find(frames)
        mark = None if seen is None else seen.id
    except ModuleNotFoundError as error:
        missed["watermark"] = f"{error.name} is not installed"
    return Verdict(file=path.name, credentials=found, mark=mark, missed=missed)


def _told(found: Credentials) -> list[str]:
    who = found.signer or "somebody"
    by = f"{who} ({found.organisation})" if found.organisation not in ("", who) and not found.development else who
    when = f" on {found.signed_at}" if found.signed_at else ""
    if found.state == "invalid":
        wrong = "; ".join(found.failures)
        return [
            f"signed by {by}{when}, but this is not what was signed: {wrong}"
            if found.signer
            else f"damaged content credentials: {wrong}"
        ]
    if found.state == "trusted":
        told = f"signed by {by}{when}, unchanged since"
        told += "; a development certificate of this machine, which others do not know" if found.development else ""
    else:
        told = f"signed by {by}{when}, unchanged since; nobody here vouches for who that is"
        told += " (a development certificate, which anybody can make)" if found.development else ""
    return [told, *_story(found, "")]


def _story(found: Credentials, indent: str) -> list[str]:
    """How a file was made, and from what, generation by generation."""
    told = []
    if found.making:
        making = found.making
        told.append(
            f"{indent}made by {found.generator}, model {making.get('model')} {making.get('version')}, "
            f"with {making.get('ability')}, as {making.get('id')}"
        )
    else:
        told.append(f"{indent}made by {found.generator or 'unknown software'}")
    if any(action.source in (credentials.GENERATED, credentials.COMPOSITE) for action in found.actions):
        told.append(f"{indent}says that it was generated by a trained model")
    for part in found.ingredients:
        told += _part(part, indent)
    return told


def _part(part: Ancestor, indent: str) -> list[str]:
    role = ROLES.get(part.relationship, part.relationship)
    own = part.credentials
    if own is None:
        return [f"{indent}{role} {part.title}, without credentials"]
    state = f"signed by {own.signer}" + (f", but broken: {'; '.join(own.failures)}" if own.failures else "")
    return [f"{indent}{role} {part.title}, {state}", *_story(own, indent + "  ")]


ROLES = {"parentOf": "continues or changes", "componentOf": "contains", "inputTo": "goes by"}


def _hex(mark: int) -> str:
    return f"{mark:0{2 * provenance.NUMBER}x}"


def _plain(value: Any) -> Any:
    """Fit for JSON: bytes as hexadecimal digits."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value
