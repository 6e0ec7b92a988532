"""What is made gets the marks it is known by: frames are watermarked before they are encoded, files are signed last.

Credentials tell everything and cannot be forged, but any re-encoding takes them away; a watermark stays in the pixels
and only tells a number (`number`), which is found again among known videos. `generate.verify` reads both.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.generate import characters
from worldpatch.generate.ops._files import FileMark, with_files
from worldpatch.safety import certificates, credentials
from worldpatch.safety.certificates import Signer
from worldpatch.safety.credentials import Claim, Ingredient, Relationship, SoftBinding
from worldpatch.types import Request

log = logging.getLogger(__name__)

Found = Callable[[str], tuple[Path, str]]

PREFIX = "WORLDPATCH_"
WATERMARK = "worldpatch.watermark.1"
"""The name of our watermark among those that credentials can name; it is in no registry."""
NUMBER = 6  # bytes of a watermark's number
RELATIONSHIPS: dict[str, Relationship] = {"parent": "parentOf", "component": "componentOf", "input": "inputTo"}


# ------------------------------------------------------------------------------------------------------------ settings


def _home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "worldpatch" / "credentials"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is done to what is made.

    Without a `certificate` and its `certificate_key` (PEM files) one is made on the first run and kept in `home`.
    `timestamp_url` is a time-stamp authority, the one thing here that uses the network; `anchors` a PEM file of further
    authorities to trust when verifying; `tell_prompt` puts the prompt into what is signed.
    """

    sign: bool = True
    watermark: bool = False
    tell_prompt: bool = False
    certificate: Path | None = None
    certificate_key: Path | None = None
    timestamp_url: str | None = None
    anchors: Path | None = None
    home: Path = field(default_factory=_home)


def from_environment(**given: Any) -> Settings:
    """Settings as given where they are not None, else as `WORLDPATCH_SIGN` and its like say, else as they are."""
    values = {name: os.environ.get(PREFIX + name.upper()) for name in Settings.__dataclass_fields__ if name != "home"}
    read_ = {name: _parsed(name, text) for name, text in values.items() if text}
    return Settings(**(read_ | {name: value for name, value in given.items() if value is not None}))


def _parsed(name: str, text: str) -> Any:
    if name in ("certificate", "certificate_key", "anchors"):
        return Path(text)
    if name == "timestamp_url":
        return text
    if text.lower() not in SWITCH:
        raise UserError(f"{PREFIX}{name.upper()} {text!r} is neither yes nor no: use one of {', '.join(SWITCH)}")
    return SWITCH[text.lower()]


SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


# ------------------------------------------------------------------------------------------------------------- marking


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Settings, and who signs by them: made once, by `prepared`."""

    settings: Settings
    signer: Signer | None = None

    def mark(self, shape: tuple[int, ...], id: str) -> int | None:
        """The number that frames (t, h, w, ...) of the video `id` are to be watermarked with; None where there is to be
        none, or they are too few or too small to hold it."""
        if not self.settings.watermark:
            return None
        from worldpatch.safety.watermark import fits

        count, height, width = shape[:3]
        if not fits(count, height, width):
            log.warning(f"no watermark: {count} frames of {width}x{height} cannot hold it")
            return None
        return number(id)

    def sign(self, path: Path, claim: Claim) -> None:
        """Signs a file in its place, where files are signed. Last of all: what is changed afterwards shows."""
        if self.signer is not None:
            credentials.sign(path, claim, self.signer)

    def claim(
        self,
        request: Request,
        fingerprint: str,
        title: str,
        id: str,
        mark: int | None = None,
        ingredients: tuple[Ingredient, ...] | None = None,
    ) -> Claim:
        """What is said of a file that `request` made, with a model of this fingerprint.

        `ingredients` are those of the request on this machine, unless given (see `lineage`).
        """
        parts = lineage(request.ability, request.params) if ingredients is None else ingredients
        others = any(part.relationship != "inputTo" for part in parts)
        prompt = str(request.params.get("prompt", "")) if self.settings.tell_prompt else ""
        return Claim(
            title=title, id=id, model=Path(request.model).name, version=fingerprint, ability=request.ability,
            source=credentials.COMPOSITE if others else credentials.GENERATED, ingredients=parts,
            binding=None if mark is None else SoftBinding(algorithm=WATERMARK, value=mark.to_bytes(NUMBER, "big")),
            prompt=prompt or None,
        )  # fmt: skip

    def told(self) -> dict[str, str]:
        """What is done and what is not, in words, for logs and recipes."""
        off = "turned off" if not self.settings.sign else "c2pa-python is not installed (worldpatch[serve] brings it)"
        signature = off if self.signer is None else f"by {self.signer.name}"
        return {"signature": signature, "watermark": "on" if self.settings.watermark else "off"}


def prepared(settings: Settings) -> Provenance:
    """Whoever signs is found, or made on the first run; what is turned off is logged. Without c2pa-python nothing is
    signed. Raises UserError on certificates that will not do: worth asking before the work."""
    if not settings.sign:
        log.warning("not signed: that is turned off, and nobody will be able to tell where this file comes from")
        return Provenance(settings=settings)
    if find_spec("c2pa") is None:
        return Provenance(settings=settings)
    return Provenance(settings=settings, signer=_signer(settings))


def _signer(settings: Settings) -> Signer:
    if (settings.certificate is None) != (settings.certificate_key is None):
        raise UserError(f"give {PREFIX}CERTIFICATE and {PREFIX}CERTIFICATE_KEY both, or neither: one alone cannot sign")
    if settings.certificate is None or settings.certificate_key is None:
        return replace(certificates.development(settings.home), timestamp_url=settings.timestamp_url)
    return certificates.from_files(settings.certificate, settings.certificate_key, settings.timestamp_url)


def number(id: str) -> int:
    """The number that the watermark of a video holds: 48 bits of a digest of its id.

    Among a million videos, two share one with a chance of 0.2%; whoever looks one up must expect several.
    """
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:NUMBER], "big")


def trusted(settings: Settings) -> str:
    """The certificates (PEM) of whom we trust: the development root of this machine, those who issued our certificate,
    and the anchors of the settings."""
    root = settings.home / certificates.ROOT
    pems = [root.read_text()] if root.exists() else []
    if settings.certificate is not None:
        pems.append(_signer(settings).anchors)
    if settings.anchors is not None:
        try:
            pems.append(settings.anchors.read_text())
        except OSError as error:
            raise UserError(
                f"the anchors {settings.anchors} cannot be read ({error.strerror}): check the path"
            ) from error
    return "".join(pems)


# ------------------------------------------------------------------------------------------------------------- lineage


def lineage(ability: str, params: dict[str, Any], found: Found | None = None) -> tuple[Ingredient, ...]:
    """The pictures and videos among an ability's parameters, each once, as what they are to the result.

    `found` says for the name of one where its file lies and what to call it; without it names are paths, @NAMEs of
    characters and PATH@PLACE, called by the file's own name.
    """
    model = config.resolve("generate/ops", ability).Params
    ingredients: dict[Path, Ingredient] = {}

    def noted(mark: FileMark, value: Any, where: str) -> Any:
        if mark.kind == "media" or mark.kind == "who" and value.startswith(characters.MARK):
            path, title = (found or _here)(value)
            ingredients.setdefault(path, Ingredient(path=path, relationship=RELATIONSHIPS[mark.role], title=title))
        return value

    whole = model.model_validate(params).whole()
    with_files(model, whole.model_dump(exclude_none=True), noted)
    return tuple(ingredients.values())


def _here(name: str) -> tuple[Path, str]:
    if name.startswith(characters.MARK):
        return characters.find(name).picture, name
    path = Path(name)
    path = path if path.exists() else Path(name.rpartition("@")[0])
    return path, path.name
