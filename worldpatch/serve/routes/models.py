"""Which models and abilities there are."""

from typing import Any

from fastapi import APIRouter

from worldpatch import config
from worldpatch.serve.asked import params_of
from worldpatch.serve.errors import ApiError
from worldpatch.serve.routes.context import Home, Videos
from worldpatch.serve.schemas import Ability, Model, Page

router = APIRouter(tags=["models"])

NAMES = ("sora-2", "sora-2-pro")


@router.get("/models")
def models(home: Home, key: Videos) -> Page:
    """Those that are served, and OpenAI's names, which mean the default one."""
    return Page.of([_model(name, home) for name in (*home.models, *NAMES)])


@router.get("/models/{model}")
def model(model: str, home: Home, key: Videos) -> Model:
    home.named(model)
    return _model(model, home)


def _model(name: str, home: Home) -> Model:
    folder = home.models[home.named(name)]
    usual = home.outlines[home.named(name)].usual
    facts = {"frames": usual.frames, "width": usual.width, "height": usual.height, "fps": usual.rate}
    return Model(id=name, created=int((folder / "model.json").stat().st_mtime), usual=facts)


@router.get("/abilities")
def abilities(home: Home, key: Videos) -> Page:
    """All that can be asked for as `ability`, with the JSON schema of `parameters`."""
    return Page.of([_ability(name) for name in config.available("generate/ops")])


@router.get("/abilities/{ability}")
def ability(ability: str, home: Home, key: Videos) -> Ability:
    if ability not in config.available("generate/ops"):
        raise ApiError(404, f"no ability {ability!r}; known: {', '.join(config.available('generate/ops'))}")
    return _ability(ability)


def _ability(name: str) -> Ability:
    schema: dict[str, Any] = params_of(name).model_json_schema()
    told = (config.resolve("generate/ops", name).__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return Ability(id=name, description=told, parameters=schema)
