"""What a client asks for -> what is drawn, and what it takes."""

import math
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from worldpatch import config, generate
from worldpatch.config import UserError
from worldpatch.generate import memory
from worldpatch.generate.ops._files import with_files
from worldpatch.generate.ops._form import STEEPEST, Size
from worldpatch.generate.pipeline import Pipeline
from worldpatch.serve import queue, references
from worldpatch.serve.errors import ApiError, explained, invalid
from worldpatch.serve.house import House
from worldpatch.serve.schemas import Create, Ours
from worldpatch.types import Request

LARGEST = 4096  # pixels of a side that is shown
EXACT = 4.0  # times the usual number of pixels of a model: up to it the size asked for is drawn, beyond it enlarged
CREATED = "create"  # the operation of what OpenAI's route makes, whatever draws it
QUALITIES = {"draft": 12, "standard": Request.steps, "high": 2 * Request.steps}  # sampler steps


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`request` is drawn by `generate` once files have paths; `facts` are told of the video ever after. `work` is in
    patches times calls of the network, `memory` in bytes."""

    model: str
    request: dict[str, Any]
    facts: dict[str, Any]
    work: float
    memory: float
    priority: int = 0


@dataclass
class Draft:
    """An ability and its parameters, as they come together from a route's fields."""

    ability: str
    params: dict[str, Any]
    prompt: str
    seconds: float  # of what is shown; 0: all that is drawn
    size: tuple[int, int] | None = None  # (width, height) shown; None: as drawn
    operation: str = ""
    parents: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)  # parameter -> the client's field that it comes from


def created(body: Create, house: House) -> Draft:
    """POST /videos: which ability draws it follows from what is given."""
    model = house.outlines[house.named(body.model)]
    shown = None if body.size is None else size(body.size)
    sides, notes = ({}, []) if shown is None else drawn_at(shown, model)
    if body.prompt is None and body.ability is None:
        raise invalid("prompt is missing: say what the video shows", "prompt", "missing_required_parameter")
    prompt = body.prompt or ""
    params = ({"prompt": prompt} if prompt else {}) | sides
    draft = Draft(ability="", params=params, prompt=prompt, seconds=body.seconds, size=shown, notes=notes)
    if body.ability is not None:
        draft.ability = draft.operation = body.ability
        fields = params_of(body.ability).model_fields
        draft.params = {name: value for name, value in draft.params.items() if name in fields}
        draft.seconds = 0.0
        if "seconds" in fields and "seconds" in body.model_fields_set:
            draft.params["seconds"] = body.seconds
        return draft
    people = [f"@{one.id}" for one in body.characters]
    frames = math.ceil(body.seconds * model.usual.rate - 1e-6)
    if frames > model.usual.frames:
        first = {} if body.input_reference is None else {"image": body.input_reference}
        card = {"text": prompt, "seconds": body.seconds} | first
        draft.ability, draft.params = "storyboard", sides | {"cards": [card]}
        if people:
            card["text"], draft.params["character"] = f"{{character}}: {prompt}", people[0]
    else:
        stride = model.spec.stride_t
        draft.params["frames"] = 1 + stride * math.ceil((frames - 1) / stride)
        if body.input_reference is not None:
            draft.ability, draft.params["image"] = "animate", body.input_reference
        elif people:
            draft.ability, draft.params["subject"] = "likeness", people
        else:
            draft.ability = "text_to_video"
    if len(people) > 1 or people and body.input_reference is not None and draft.ability == "animate":
        draft.notes.append("one character is shown, and none beside an input_reference: words alone tell the others")
    draft.operation = CREATED
    draft.fields = {"image": "input_reference", "cards.0.image": "input_reference", "character": "characters"}
    draft.fields |= {f"subject.{i}": "characters" for i in range(len(people))}
    return draft


async def asked(draft: Draft, body: Ours, model: str | None, house: House, owner: str) -> Asked:
    """Raises ApiError on all that can be refused by itself; `admit` sees whether there is room for it."""
    name = house.named(model)
    outline = house.outlines[name]
    kind = params_of(draft.ability)
    try:
        params = await references.named(kind, draft.params | body.parameters, house, owner)
        validated(kind, params)
    except ApiError as error:
        raise error.under(draft.fields) from error
    request = _sampling(body, name, house) | {"ability": draft.ability, "params": params}
    length = _length(draft, params, outline)
    work, bytes_ = takes(draft, length, request, outline)
    facts = {
        "prompt": draft.prompt, "seconds": draft.seconds, "length": length, "size": draft.size,
        "operation": draft.operation, "parents": draft.parents, "notes": draft.notes, "metadata": body.metadata,
        "seed": request["seed"], "variants": request["variants"], "steps": request["steps"], "quality": body.quality,
    }  # fmt: skip
    return Asked(model=name, request=request, facts=facts, work=work, memory=bytes_, priority=body.priority)


def texts(request: dict[str, Any]) -> list[str]:
    """All that a client writes to be shown: the strings among the parameters that name no file and no character."""
    found: list[str] = []

    def seen(value: Any) -> None:
        if isinstance(value, str) and not references.NAMED.fullmatch(value):  # chance spells words in identifiers
            found.append(value)
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
            seen(one)

    kind = params_of(request["ability"])
    seen(
        with_files(kind, request["params"], lambda mark, value, where: value if mark.kind in ("json", "who") else None)
    )
    return found


def params_of(ability: str) -> type[BaseModel]:
    """Raises ApiError that lists the abilities."""
    try:
        return config.resolve("generate/ops", ability).Params
    except UserError as error:
        raise invalid(str(error), "ability") from error


def validated(kind: type[BaseModel], params: dict[str, Any]) -> None:
    """Raises ApiError 400 on the first parameter that is wrong. Documents are judged where they are read."""
    stand_in = with_files(kind, params, lambda mark, value, where: "file")
    try:
        kind(**stand_in)
    except ValidationError as error:
        raise explained(error.errors()[0]) from error


def _sampling(body: Ours, model: str, house: House) -> dict[str, Any]:
    unknown = [name for name in body.loras if name.partition(":")[0] not in house.settings.loras]
    if unknown:
        known = ", ".join(house.settings.loras) or "none"
        raise invalid(f"loras {', '.join(unknown)}: unknown; this server has {known}", "loras")
    given = {
        "seed": secrets.randbelow(2**31) if body.seed is None else body.seed, "variants": body.n,
        "steps": body.steps or QUALITIES[body.quality], "guidance": body.guidance,
        "guidance_interval": body.guidance_interval, "guidance_rescale": body.guidance_rescale,
        "sampler": body.sampler, "step_cache": body.step_cache,
    }  # fmt: skip
    request = Request(ability="", params={}, **{name: value for name, value in given.items() if value is not None})
    try:
        generate.check_sampling(request)
    except UserError as error:
        raise invalid(str(error), str(error).partition(" ")[0]) from error
    return {name: getattr(request, name) for name in given} | {"model": model, "loras": body.loras}


# ------------------------------------------------------------------------------------------------------------ geometry


def size(text: str) -> tuple[int, int]:
    """(width, height) of "720x1280". Raises ApiError on what cannot be shown."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (16 <= width <= LARGEST and 16 <= height <= LARGEST) or width % 2 or height % 2:
        raise invalid(f"size {text!r}: WIDTHxHEIGHT in even pixels from 16 to {LARGEST}, such as 720x1280", "size")
    return width, height


def drawn_at(shown: tuple[int, int], model: Pipeline) -> tuple[dict[str, int], list[str]]:
    """The size at which the model draws what is shown at another, and what there is to say of it."""
    width, height = shown
    usual, side = model.usual, model.side
    near = width * height <= EXACT * usual.width * usual.height
    if near and width % side == height % side == 0 and max(shown) <= STEEPEST * min(shown):
        return {"width": width, "height": height}, []
    drawn_height, drawn_width = Size().sides(model, like=(height, width))
    note = f"drawn at {drawn_width}x{drawn_height}, near what the model was trained on, and shown at {width}x{height}"
    return {"width": drawn_width, "height": drawn_height}, [note]


def _length(draft: Draft, params: dict[str, Any], model: Pipeline) -> float:
    """Seconds to plan with: as shown, else as the parameters say, else those of the clips the model was trained on."""
    usual = model.usual
    if draft.ability == "image":
        return 1 / usual.rate
    frames = params.get("frames") or usual.frames
    cards = [card.get("seconds") or 0.0 for card in params.get("cards") or [] if isinstance(card, dict)]
    return float(draft.seconds or params.get("seconds") or sum(cards) or frames / usual.rate)


def takes(draft: Draft, seconds: float, request: dict[str, Any], model: Pipeline) -> tuple[float, float]:
    """(patches times calls, bytes) of a request, near enough to plan with."""
    usual, params = model.usual, request["params"]
    width, height = params.get("width") or usual.width, params.get("height") or usual.height
    frames = max(1, round(seconds * usual.rate))
    t, h, w = model.spec.grid(1 + -(-(frames - 1) // model.spec.stride_t) * model.spec.stride_t, height, width)
    patches = t * h * w // math.prod(model.patch) * request["variants"]
    guided = request["guidance"] != 1 and request["sampler"] != "jump"
    at_once = min(patches, patches * usual.frames / frames) if draft.ability in ("storyboard", "extend") else patches
    shape = model.network.dit.config
    network = (2 if guided else 1) * memory.NUMBER * shape.width * memory.PATCH * at_once
    made = memory.of_frames(frames, height, width, pasted=draft.ability != "text_to_video") * request["variants"]
    enlarged = 1.5 * frames * math.prod(draft.size or (0,))  # bytes of planes, of one variant after the other
    return float(patches * request["steps"] * (2 if guided else 1)), float(max(network, made + enlarged))


def admit(asked: Asked, house: House) -> None:
    """Raises ApiError 400 on what no worker could hold, or would take too long."""
    found = memory.free()
    if found is not None and asked.memory > memory.SHARE * found[1]:
        raise invalid(
            f"this takes about {asked.memory / 1e9:.1f} GB, of {found[1] / 1e9:.1f}: ask for fewer pixels or seconds",
            code="out_of_memory",
        )
    with house.engine.connect() as connection:
        seconds = asked.work / queue.speed(connection)
    if seconds > house.settings.longest_job:
        raise invalid(
            f"this takes about {seconds:.0f} s, and at most {house.settings.longest_job:.0f} are given to a video: "
            "ask for fewer pixels, seconds or steps", code="too_long",
        )  # fmt: skip
