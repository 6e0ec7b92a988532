"""What goes in and out of the API: OpenAI's objects field by field, and our own fields beside them.

Clients keep fields that they do not know, and send none that they have not heard of: so everything of ours is optional
on the way in and extra on the way out.
"""

import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from worldpatch.serve.wire import Upload

LONGEST_PROMPT = 32_000
LONGEST_URL = 20_971_520

Status = Literal["queued", "in_progress", "completed", "failed"]


def _structured(value: Any) -> Any:
    """A JSON string where an object or a list is meant: forms know no better."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"{value[:60]!r} is no JSON: {error}") from error
    return value


def _seconds(value: Any) -> Any:
    """OpenAI wants strings, people send numbers: either will do."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"seconds {value!r}: a number, such as '4'") from None
    if not math.isfinite(found) or not 0 < found <= 600:
        raise ValueError(f"seconds {value!r}: above 0, at most 600")
    return found


def _prompt(value: Any) -> Any:
    if isinstance(value, str) and not 1 <= len(value) <= LONGEST_PROMPT:
        raise ValueError(f"a prompt of {len(value)} characters: 1 to {LONGEST_PROMPT}")
    return value


def _quality(value: Any) -> Any:
    """OpenAI's words for pictures, in ours."""
    return {"auto": "standard", "medium": "standard", "low": "draft"}.get(value) or (
        "high" if value in ("hd", "xhigh", "max") else value
    )


Prompt = Annotated[str, BeforeValidator(_prompt)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Quality = Annotated[Literal["draft", "standard", "high"], BeforeValidator(_quality)]


def _only(value: Any) -> Any:
    """The one of a list of one: clients may send several pictures, and one is changed here."""
    if isinstance(value, list):
        if len(value) != 1:
            raise ValueError(f"{len(value)} pictures: one is changed; send one, others by ability likeness")
        return value[0]
    return value


class Body(BaseModel):
    """Fields that nobody knows are refused: a misspelt one would be passed over in silence."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())


class Reference(Body):
    """A file that was uploaded before, or an address."""

    file_id: str | None = None
    image_url: str | None = Field(default=None, max_length=LONGEST_URL)

    @model_validator(mode="after")
    def one(self) -> "Reference":
        if (self.file_id is None) == (self.image_url is None):
            raise ValueError("a reference has either file_id or image_url: give one of them")
        return self


class ById(Body):
    id: str


FileOr = Upload | Annotated[Reference, BeforeValidator(_structured)]
VideoOr = Upload | Annotated[ById, BeforeValidator(_structured)]


class Ours(Body):
    """What only this server knows; unmodified clients never send it (`extra_body`)."""

    seed: int | None = None
    n: int = Field(default=1, ge=1, le=16, description="variants, drawn together")
    steps: int | None = Field(default=None, ge=1, le=1000)
    quality: Quality = "standard"
    guidance: float | None = Field(default=None, ge=0, le=100)
    guidance_interval: Annotated[tuple[float, float] | None, BeforeValidator(_structured)] = None
    guidance_rescale: float | None = Field(default=None, ge=0, le=1)
    sampler: str = "euler"
    step_cache: float = Field(default=0.0, ge=0, le=1, description="forecast steps up to this relative error")
    loras: Annotated[list[str], BeforeValidator(_structured)] = []
    priority: int = Field(default=0, ge=-10, le=10, description="above 0 sooner, below 0 later")
    metadata: Annotated[dict[str, str], BeforeValidator(_structured)] = {}
    parameters: Annotated[dict[str, Any], BeforeValidator(_structured)] = Field(
        default={}, description="further parameters of the ability, as its schema tells"
    )


class Create(Ours):
    """POST /videos."""

    prompt: Prompt | None
    model: str = "sora-2"
    seconds: Seconds = 4.0
    size: str | None = None
    input_reference: FileOr | None = None
    characters: Annotated[list[ById], BeforeValidator(_structured)] = Field(default=[], max_length=2)
    ability: str | None = Field(default=None, description="with one, the prompt may be missing: its parameters count")

    @model_validator(mode="before")
    @classmethod
    def promptless(cls, values: Any) -> Any:
        return {"prompt": None} | values if isinstance(values, dict) and values.get("ability") else values


class Remix(Ours):
    """POST /videos/{id}/remix."""

    prompt: Prompt


class Edit(Ours):
    """POST /videos/edits."""

    prompt: Prompt
    video: VideoOr
    model: str | None = None
    ability: str | None = None


class Extend(Ours):
    """POST /videos/extensions."""

    prompt: Prompt
    video: VideoOr
    seconds: Seconds = 4.0
    model: str | None = None


class NewCharacter(Body):
    """POST /videos/characters."""

    name: str = Field(min_length=1, max_length=80)
    video: Upload
    told: str = Field(default="", max_length=200, description="how prompts call it, such as 'a red ball'")
    consent: bool = Field(default=False, description="that all people in the clip agree to be shown again")


class Failure(BaseModel):
    code: str
    message: str


class Video(BaseModel):
    """OpenAI's keys, then ours."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Status
    progress: int = Field(ge=0, le=100)
    created_at: int
    completed_at: int | None
    expires_at: int | None
    prompt: str | None
    size: str
    seconds: str
    remixed_from_video_id: str | None
    error: Failure | None
    quality: str = "standard"

    operation: str = "text_to_video"
    paused: bool = False
    parent_video_ids: list[str] = []
    queue_position: int | None = None
    eta_seconds: float | None = None
    stage: str | None = None
    step: int | None = None
    previews: int = 0
    steps: int | None = None
    seed: int | None = None
    variants: int = 1
    metadata: dict[str, str] = {}
    notes: list[str] = []
    provenance: dict[str, Any] | None = None
    timings: dict[str, float] = {}


class Estimate(BaseModel):
    """What a video would take: seconds of drawing, seconds of waiting before, bytes; work is patches times calls."""

    object: Literal["video.estimate"] = "video.estimate"
    seconds: float
    wait_seconds: float
    memory_bytes: int
    work: float


class Verify(Body):
    """POST /videos/verify."""

    file: FileOr


class Verdict(BaseModel):
    """`outcome`: "found" are credentials that are trusted here, or a watermark; or those of a "stranger", or "nothing",
    or "damaged" ones."""

    object: Literal["video.verdict"] = "video.verdict"
    outcome: Literal["found", "stranger", "nothing", "damaged"]
    credentials: dict[str, Any] | None
    watermark: dict[str, Any] | None
    not_looked_for: dict[str, str]
    told: list[str]
    made_here: bool
    video_ids: list[str]


class Page(BaseModel):
    """A list by cursor: without `last_id` the SDK stops silently after the first page."""

    object: Literal["list"] = "list"
    data: list[Any]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, data: list[Any], more: bool = False) -> "Page":
        """A page of things that have an `id`."""
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return cls(data=data, first_id=first, last_id=last, has_more=more)


class Deleted(BaseModel):
    id: str
    object: str
    deleted: Literal[True] = True


class Character(BaseModel):
    id: str
    object: Literal["video.character"] = "video.character"
    name: str
    created_at: int


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "worldpatch"
    usual: dict[str, float] = Field(description="the clip it was mostly trained on")


class Ability(BaseModel):
    id: str
    object: Literal["ability"] = "ability"
    description: str
    parameters: dict[str, Any] = Field(description="JSON schema; files are ids, {image_url: ...} or uploads")


class ExpiresAfter(Body):
    anchor: Literal["created_at"] = "created_at"
    seconds: int = Field(ge=3600, le=2_592_000)


class NewFile(Body):
    """POST /files."""

    file: Upload
    purpose: str = Field(pattern=r"^[a-z_-]{1,40}$")
    expires_after: Annotated[ExpiresAfter | None, BeforeValidator(_structured)] = None


class FileObject(BaseModel):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    expires_at: int | None = None


EventType = Literal["video.completed", "video.failed"]


class NewEndpoint(Body):
    """POST /webhook_endpoints."""

    name: str = Field(min_length=1, max_length=100)
    url: str = Field(max_length=2000)
    event_types: list[EventType] = Field(min_length=1)


class ChangedEndpoint(Body):
    """POST /webhook_endpoints/{id}: what is left out stays."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    url: str | None = Field(default=None, max_length=2000)
    event_types: list[EventType] | None = Field(default=None, min_length=1)


class Rotation(Body):
    keep_old_secret_active_for_24_hours: bool = False


class Trial(Body):
    event_type: EventType


class Tried(BaseModel):
    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: EventType
    status_code: int | None
    success: bool


class Endpoint(BaseModel):
    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: list[str]
    signing_secret: str | None = Field(default=None, description="told when made and when rotated")
    signing_secret_hint: str


class NewImage(Ours):
    """POST /images/generations. What OpenAI's own models alone understand is taken where it asks for nothing."""

    prompt: Prompt
    model: str | None = None
    size: str | None = None
    response_format: Literal["b64_json"] = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int = Field(default=100, ge=0, le=100, description="quality of jpeg and webp")
    background: Literal["auto", "opaque"] = "auto"
    moderation: Literal["auto", "low"] = Field(default="auto", description="the server's own policy holds either way")
    stream: bool = Field(default=False, description="server-sent events: pictures on the way, then the picture")
    partial_images: int = Field(default=0, ge=0, le=3, description="pictures on the way, at most")
    user: str | None = Field(default=None, description="taken, and not used")
    safety_identifier: str | None = Field(default=None, description="taken, and not used")


class ImageEdit(NewImage):
    """POST /images/edits."""

    image: Annotated[FileOr, BeforeValidator(_only)]
    mask: FileOr | None = Field(default=None, description="a picture that is transparent where to draw")
    strength: float = Field(default=0.6, gt=0, le=1, description="how far from the picture; of a mask's inside 1")
    input_fidelity: Literal["low", "high"] | None = Field(default=None, description="high halves the strength")


class Image(BaseModel):
    b64_json: str


class Images(BaseModel):
    created: int
    data: list[Image]
    size: str
    output_format: str
    quality: str
    background: Literal["opaque"] = "opaque"
