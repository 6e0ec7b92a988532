"""How a server is set up: one frozen object, from flags and `WORLDPATCH_*` variables."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from worldpatch.config import UserError
from worldpatch.generate import provenance
from worldpatch.safety.policy.settings import Settings as PolicySettings

PREFIX = "WORLDPATCH_"


def _parsed(value: Any) -> Any:
    """JSON, where a variable of the environment holds it."""
    return json.loads(value) if isinstance(value, str) else value


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default=Path("out/serve"), description="folder of the database, the jobs and what is made")
    database: str = Field(default="", description="URL of a PostgreSQL database; empty: SQLite under home")
    objects: str = Field(
        default="", description="URL of an object store, such as s3://bucket/prefix; empty: under home"
    )
    model: str = Field(default="tabletop", description="the model that answers to sora-2 and all its names")
    models: tuple[str, ...] = Field(default=(), description="further models, by their own names")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    name: str = Field(
        default="worker",
        pattern=r"^[a-z0-9-]{1,32}$",
        description="of this machine's workers: one of its own per machine",
    )
    workers: int = Field(default=1, ge=0, le=64, description="worker processes started here, one per device")
    group: int = Field(default=5, ge=1, description="sampler steps between two times that latents are kept")
    queue: int = Field(default=1000, ge=1, description="videos that may wait; beyond it new ones are refused")
    keep_hours: float = Field(default=24.0, gt=0, description="hours that what was made can be fetched")
    largest_upload: int = Field(default=512 * 2**20, gt=0, description="bytes of a request's body")
    private_addresses: bool = Field(default=False, description="let image_url and webhooks reach private addresses")
    open: bool = Field(default=False, description="answer without keys, all requests as one client: for one's own desk")
    longest_job: float = Field(default=3600.0, gt=0, description="seconds of work that one video may take")
    log_format: Literal["text", "json"] = Field(default="text", description="of what the processes say on stderr")
    log_prompts: bool = Field(default=False, description="let prompts into the log, and what errors say of them")
    sign: bool = Field(default=True, description="sign what is made with content credentials")
    watermark: bool = Field(default=True, description="mark frames with the number of their video")
    tell_prompt: bool = Field(default=False, description="let the prompt into what is signed")
    certificate: Path | None = Field(
        default=None, description="PEM of the chain that signs; none: one of our own making"
    )
    certificate_key: Path | None = Field(default=None, description="PEM of its private key")
    timestamp_url: str | None = Field(default=None, description="a time-stamp authority that signatures are shown to")
    anchors: Path | None = Field(default=None, description="PEM of authorities whose signatures are trusted")
    policy: Annotated[PolicySettings, BeforeValidator(_parsed)] = Field(
        default=PolicySettings(), description="what is refused, as JSON: safety/policy/settings.py tells its fields"
    )
    consent: bool = Field(default=True, description="characters out of clips not made here need the people's consent")
    loras: dict[str, Path] = Field(default={}, description="adapters that may be asked for: name -> folder")

    @property
    def url(self) -> str:
        return self.database or f"sqlite:///{self.home / 'worldpatch.sqlite'}"

    @property
    def workflows(self) -> str:
        """URL of DBOS's own tables."""
        return self.database or f"sqlite:///{self.home / 'workflows.sqlite'}"

    @property
    def provenance(self) -> provenance.Settings:
        """How what is made is marked and signed."""
        own = {name: getattr(self, name) for name in provenance.Settings.__dataclass_fields__ if name != "home"}
        return provenance.Settings(home=self.home / "credentials", **own)

    @property
    def audit(self) -> Path:
        """What was decided by the policy, line by line."""
        return self.home / "audit.jsonl"

    @property
    def jobs(self) -> Path:
        """Files of videos that are being made."""
        return self.home / "jobs"


def from_environment(**given: Any) -> Settings:
    """Settings as given, and where nothing is, as the environment says. Raises UserError on what fits neither."""
    from pydantic import ValidationError

    known = {
        name: os.environ[PREFIX + name.upper()] for name in Settings.model_fields if PREFIX + name.upper() in os.environ
    }
    try:
        return Settings.model_validate(known | {name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise UserError(
            f"{name} {first['input']!r}: {first['msg'][0].lower() + first['msg'][1:]} "
            f"(--{name.replace('_', '-')} or {PREFIX}{name.upper()})"
        ) from error
