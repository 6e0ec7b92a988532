"""Content credentials (C2PA 2): a claim of how a file was made -> signed, inside the file; and back.

The claim holds a digest of the whole file: whatever is changed afterwards shows. It does not survive being encoded
again, which takes it away; a watermark does. Nothing here asks the network, but a time-stamp authority where the signer
names one.
"""

import json
import mmap
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from worldpatch import __version__
from worldpatch.config import UserError
from worldpatch.safety.certificates import ORGANISATION, PURPOSES, Signer

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""What IPTC calls media that a trained model made, and media of others that it added to or changed."""
MAKING = "org.worldpatch.making"  # the assertion that only we write
LONGEST = 300  # characters shown of anything that a file says
DEEPEST = 16  # generations of ingredients that are looked into

Relationship = Literal["parentOf", "componentOf", "inputTo"]
"""What a file was to what was made of it: continued or changed, a part of it, or something to go by."""
State = Literal["trusted", "valid", "invalid"]
"""Signed by somebody we trust; by somebody; not what was signed, or not properly signed."""


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """A file that something was made of; its own credentials go along. `title` is its name where that is not to be
    told."""

    path: Path
    relationship: Relationship = "parentOf"
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class SoftBinding:
    """What ties the claim to the content itself, such as a watermark: the algorithm's name and the value it finds."""

    algorithm: str
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Claim:
    """How a file was made: by the `version` of a `model`, by which `ability`, from which ingredients, of which at most
    one is the parent. `id` is the video's own name. The prompt is told only if it is given."""

    title: str
    id: str
    model: str
    version: str
    ability: str
    source: str = GENERATED
    ingredients: tuple[Ingredient, ...] = ()
    binding: SoftBinding | None = None
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something that was done: C2PA's name of it, by what, when, and IPTC's type of what came of it; "" where the claim
    does not say."""

    name: str
    agent: str = ""
    when: str = ""
    source: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """An ingredient as read, with its own credentials where it had some."""

    title: str
    relationship: str
    credentials: "Credentials | None" = None


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a file says of itself, and whether to believe it. `failures` say why a `state` is "invalid".

    `signed_at` is given by a time-stamp authority alone. `development`: the certificate claims to be one that
    `certificates.development` made, on some machine. `making` is what `Claim` tells beside the standard's own terms.
    Those of an ancestor are in the state in which whoever used it says it was, and are never called trusted.
    """

    signer: str
    organisation: str
    state: State
    failures: tuple[str, ...] = ()
    signed_at: str | None = None
    development: bool = False
    title: str = ""
    generator: str = ""
    making: dict[str, str]
    actions: tuple[Action, ...] = ()
    ingredients: tuple[Ancestor, ...] = ()
    bindings: tuple[SoftBinding, ...] = ()


# -------------------------------------------------------------------------------------------------------------- signing


def sign(path: Path, claim: Claim, signer: Signer) -> None:
    """Puts a signed claim into an MP4, WebP, JPEG, PNG or GIF file, in the place of any it had.

    The file is replaced at once or stays as it was. Raises UserError on other files, and where an ingredient or the
    file cannot be read or written.
    """
    import c2pa

    parents = [ingredient for ingredient in claim.ingredients if ingredient.relationship == "parentOf"]
    assert len(parents) <= 1, "a file has one parent: the others are its components"
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        kind = media_type(path)
        if kind not in SIGNED:
            raise UserError(f"{path} cannot be signed: it is none of {', '.join(SIGNED.values())}")
        info = c2pa.C2paSignerInfo(
            signer.algorithm, signer.certificates.encode(), signer.key.encode(), signer.timestamp_url
        )
        hosts = [urlsplit(signer.timestamp_url).netloc] if signer.timestamp_url else []
        with (
            _context(hosts=hosts) as context,
            c2pa.Signer.from_info(info) as signing,
            c2pa.Builder(_manifest(claim), context) as builder,
        ):
            for number, ingredient in enumerate(claim.ingredients):
                with ingredient.path.open("rb") as stream:
                    told = {
                        "title": ingredient.title or ingredient.path.name,
                        "relationship": ingredient.relationship,
                        "label": _label(number),
                    }
                    builder.add_ingredient(told, media_type(ingredient.path) or "application/octet-stream", stream)
            with path.open("rb") as source, draft.open("w+b") as target:
                builder.sign(signing, kind, source, target)
        os.replace(draft, path)
    except OSError as error:
        raise UserError(f"{path} cannot be signed: {error.filename or ''} {error.strerror or error}") from error
    except c2pa.C2paError as error:
        raise UserError(f"{path} cannot be signed by {signer.name}: {error}") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _manifest(claim: Claim) -> dict[str, Any]:
    """The claim as the library takes it. Actions begin with what was opened or created (C2PA 2.2, 18.15.4)."""
    labels = {
        kind: [_label(i) for i, ingredient in enumerate(claim.ingredients) if ingredient.relationship == kind]
        for kind in ("parentOf", "componentOf", "inputTo")
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    agent = {"name": f"worldpatch {claim.model}", "version": claim.version}
    by = {"when": now, "softwareAgent": agent}
    made = by | {"digitalSourceType": claim.source, "description": claim.ability}
    if labels["inputTo"]:
        made |= {"parameters": {"ingredientIds": labels["inputTo"]}}
    actions: list[dict[str, Any]] = [{"action": "c2pa.created"} | made]
    if labels["parentOf"]:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": labels["parentOf"]}}
        actions = [opened | by, {"action": "c2pa.edited"} | made]
    if labels["componentOf"]:
        actions.append({"action": "c2pa.placed", "parameters": {"ingredientIds": labels["componentOf"]}} | by)
    making = {"id": claim.id, "model": claim.model, "version": claim.version, "ability": claim.ability}
    making |= {} if claim.prompt is None else {"prompt": claim.prompt}
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": actions}}, {"label": MAKING, "data": making}]
    if claim.binding is not None:
        block = {"scope": {}, "value": list(claim.binding.value)}
        assertions.append({"label": "c2pa.soft-binding", "data": {"alg": claim.binding.algorithm, "blocks": [block]}})
    generator = {"name": "worldpatch", "version": __version__}
    return {"claim_version": 2, "title": claim.title, "claim_generator_info": [generator], "assertions": assertions}


def _label(number: int) -> str:
    return f"ingredient{number}"


def _context(anchors: str = "", hosts: Sequence[str] = ()) -> Any:
    """The library, kept from the network but for these hosts. It would fetch what a file names, if it were let to."""
    import c2pa

    trust = {"trust_config": "\n".join(PURPOSES)} | ({"trust_anchors": anchors} if anchors else {})
    return c2pa.Context.from_dict(
        {
            "version": 1,
            "core": {"allowed_network_hosts": list(hosts)},
            "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
            "builder": {"thumbnail": {"enabled": False}},
            "trust": trust,
        }
    )


# ---------------------------------------------------------------------------------------------------------------- files

SIGNED = {"video/mp4": "MP4", "image/webp": "WebP", "image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF"}


def media_type(path: Path) -> str | None:
    """What a file is by its first bytes, if that is something that can hold credentials."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return ISO_BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"AVI ": "video/avi"}.get(head[8:12])
    return next((kind for start, kind in STARTS.items() if head.startswith(start)), None)


ISO_BRANDS = {b"avif": "image/avif", b"heic": "image/heic", b"qt  ": "video/quicktime"}
STARTS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"GIF8": "image/gif"}


# -------------------------------------------------------------------------------------------------------------- reading


def read(path: Path, anchors: str = "") -> Credentials | None:
    """The credentials inside a file; None where it has none of its own.

    `anchors` are the certificates (PEM) of whom to trust. Everything that a file says is cut to `LONGEST` characters
    that can be shown. Raises UserError where the file cannot be read.
    """
    import c2pa

    try:
        kind = media_type(path)
        if kind is None:
            return None
        with (
            path.open("rb") as stream,
            _context(anchors) as context,
            c2pa.Reader(kind, stream, context=context) as found,
        ):
            store = json.loads(found.json())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except c2pa.C2paError as error:
        if not _has_store(path):
            return None
        return Credentials(signer="", organisation="", state="invalid", failures=(_text(str(error)),), making={})
    state = STATES.get(store.get("validation_state"), "invalid")
    failures = _failures(store.get("validation_status")) if state == "invalid" else ()
    return _credentials(store, store.get("active_manifest"), state, failures, DEEPEST)


STATES: dict[Any, State] = {"Trusted": "trusted", "Valid": "valid"}


def _has_store(path: Path) -> bool:
    """Whether there are credentials in a file that the library cannot read, or it is something else that is broken."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"jumdc2pa") >= 0


def _credentials(store: dict[str, Any], label: Any, state: State, failures: tuple[str, ...], depth: int) -> Credentials:
    manifest = _dict(_dict(store.get("manifests")).get(label))
    data = [(str(a.get("label")), _dict(a.get("data"))) for a in _dicts(manifest.get("assertions"))]
    signature = _dict(manifest.get("signature_info"))
    organisation = _text(signature.get("issuer"))
    generators = _dicts(manifest.get("claim_generator_info"))
    generator = [f"{_text(g.get('name'))} {_text(g.get('version'))}".strip() for g in generators]
    return Credentials(
        signer=_text(signature.get("common_name")) or organisation, organisation=organisation,
        state=state, failures=failures, signed_at=_text(signature.get("time")) or None,
        development=organisation == ORGANISATION, title=_text(manifest.get("title")),
        generator=", ".join(generator) or _text(manifest.get("claim_generator")),
        making={k: _text(v) for name, values in data if name == MAKING for k, v in values.items()},
        actions=tuple(
            _action(a) for name, values in data if _is(name, "c2pa.actions") for a in _dicts(values.get("actions"))
        ),
        ingredients=tuple(_ancestor(store, i, depth - 1) for i in _dicts(manifest.get("ingredients"))),
        bindings=tuple(b for name, values in data if _is(name, "c2pa.soft-binding") for b in _bindings(values)),
    )  # fmt: skip


def _ancestor(store: dict[str, Any], ingredient: dict[str, Any], depth: int) -> Ancestor:
    label = ingredient.get("active_manifest")
    found = _dict(_dict(ingredient.get("validation_results")).get("activeManifest"))
    failures = _failures(found.get("failure") or ingredient.get("validation_status"))
    known = depth > 0 and label in _dict(store.get("manifests"))
    return Ancestor(
        title=_text(ingredient.get("title")), relationship=_text(ingredient.get("relationship")),
        credentials=_credentials(store, label, "invalid" if failures else "valid", failures, depth) if known else None,
    )  # fmt: skip


def _action(action: dict[str, Any]) -> Action:
    agent = action.get("softwareAgent")
    named = (
        f"{_text(agent.get('name'))} {_text(agent.get('version'))}".strip() if isinstance(agent, dict) else _text(agent)
    )
    return Action(
        name=_text(action.get("action")), agent=named, when=_text(action.get("when")),
        source=_text(action.get("digitalSourceType")), description=_text(action.get("description")),
    )  # fmt: skip


def _bindings(data: dict[str, Any]) -> Iterable[SoftBinding]:
    from base64 import b64decode

    for block in _dicts(data.get("blocks")):
        with suppress(ValueError):  # binascii.Error among them
            value = b64decode(str(block.get("value")), validate=True)
            yield SoftBinding(algorithm=_text(data.get("alg")), value=value)


def _failures(statuses: Any) -> tuple[str, ...]:
    """What was found wrong, but for whom nobody vouches: that is what a state says."""
    told = ((_text(s.get("code")), _text(s.get("explanation"))) for s in _dicts(statuses))
    return tuple(dict.fromkeys(f"{code} ({why})" for code, why in told if code != UNTRUSTED))


UNTRUSTED = "signingCredential.untrusted"


def _is(label: str, base: str) -> bool:
    """Labels have versions and instances: c2pa.actions.v2__1."""
    return label == base or label.startswith((base + ".", base + "__"))


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:LONGEST])


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
