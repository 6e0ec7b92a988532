"""What every part of the server shares: the settings, the database, the store, and what the models can make."""

import re
import time
from functools import cached_property, lru_cache
from pathlib import Path

import sqlalchemy as sa

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.generate.pipeline import Pipeline, outline
from worldpatch.generate.provenance import Provenance, prepared
from worldpatch.safety.policy.audit import Audit
from worldpatch.safety.policy.chain import Policy
from worldpatch.serve import queue, tables, weights
from worldpatch.serve.errors import ApiError
from worldpatch.serve.objects import Objects
from worldpatch.serve.settings import Settings

OPENAI = re.compile(r"sora-2(-pro)?(-\d{4}-\d\d-\d\d)?|(chatgpt-image|gpt-image|dall-e)-[a-z0-9.-]{1,40}")
"""OpenAI's names, all of which mean the default model here."""
MOMENT = 1.0  # seconds


class House:
    """`settings.home` is made where it is missing, and the tables in the database."""

    def __init__(self, settings: Settings):
        self.settings = settings
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.jobs.mkdir(exist_ok=True)
        self.engine = tables.engine(settings.url)
        tables.lay(self.engine)
        self.objects = Objects(settings)
        self._models: tuple[float, dict[str, Path] | None] = 0.0, None
        self._line: tuple[float, queue.Line | None] = 0.0, None

    @property
    def models(self) -> dict[str, Path]:
        """Name -> folder of the models that are served, the default one first: as they were a moment ago."""
        at, found = self._models
        if found is None or time.monotonic() - at > MOMENT:
            with self.engine.connect() as connection:
                found = weights.served(connection, self.settings)
            self._models = time.monotonic(), found
        return found

    def line(self, connection: sa.Connection) -> queue.Line:
        """What waits, as it was a moment ago: hundreds of clients ask for it every second."""
        at, found = self._line
        if found is None or time.monotonic() - at > MOMENT / 2:
            self._line = time.monotonic(), found  # one looks, the others go on with what is known
            found = queue.line(connection)
            self._line = time.monotonic(), found
        return found

    @property
    def outlines(self) -> dict[str, Pipeline]:
        """What each model can make, without its weights."""
        return {name: _outline(folder) for name, folder in self.models.items()}

    @cached_property
    def policy(self) -> Policy:
        return Policy(self.settings.policy)

    @cached_property
    def audit(self) -> Audit:
        """Every decision of the policy, and what of it is turned off."""
        return Audit(self.settings.audit, self.settings.policy)

    @cached_property
    def provenance(self) -> Provenance:
        """Who marks and signs what is made."""
        return prepared(self.settings.provenance)

    def named(self, model: str | None) -> str:
        """The model that a client means. Raises ApiError 404 on one that is not served."""
        if model is None or OPENAI.fullmatch(model):
            return next(iter(self.models))
        if model not in self.models:
            known = ", ".join((*self.models, "sora-2"))
            raise ApiError(404, f"no model {model!r}; served are {known}", code="model_not_found", param="model")
        return model

    def ready(self) -> None:
        """Load what the first request would otherwise wait for: outlines of the models, parameters of the abilities."""
        _ = self.outlines, self.policy.judge("a red ball falls"), self.audit
        for ability in config.available("generate/ops"):
            config.resolve("generate/ops", ability)

    def local(self, name: str, folder: Path) -> Path:
        """An object as a file of this machine, to be read only: under `folder`, unless the store is one itself."""
        path = self.objects.path(name)
        if path is None:
            path = folder / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(path.name + ".part")
                part.write_bytes(self.objects.get(name))
                part.replace(path)
        if not path.exists():
            raise UserError(f"{name} is gone: it has expired or was deleted; make or upload it again")
        return path


@lru_cache(maxsize=64)
def _outline(folder: Path) -> Pipeline:
    return outline(folder)
