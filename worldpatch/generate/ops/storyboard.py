"""Storyboard: cards on a timeline - texts, pictures, videos, gaps - become one film of several shots."""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.generate import characters, media, memory
from worldpatch.generate.ops._files import Local, Media, Who
from worldpatch.generate.ops._form import Size, Strict
from worldpatch.generate.ops._known import finished, likenesses
from worldpatch.generate.ops._windows import Reach, draw, reach
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import UNTOLD, Final, Plan, Reference, Script, Shots
from worldpatch.video.resize import Rule

CHARACTER = "{character}"


class Card(Strict):
    """What is shown for a while: a text, a picture that it begins with, a video as it is, or a gap to be filled."""

    text: str = Field(default="", description="what happens; {character} stands for the story's character")
    image: Media | None = Field(default=None, description="a picture file that is the card's first frame")
    video: Media | None = Field(default=None, description="a video file that is shown whole")
    gap: bool = Field(default=False, description="whatever leads from the card before to the one after")
    seconds: float | None = Field(default=None, gt=0, le=600, description="how long; a video knows it itself")
    at: float | None = Field(default=None, ge=0, description="when it begins; after the card before, if left out")
    cut: bool = Field(default=False, description="begin a new shot, which knows nothing of the one before")

    @model_validator(mode="after")
    def one_content(self) -> "Card":
        given = [name for name in ("image", "video", "gap") if getattr(self, name)]
        if len(given) > 1 or not (given or self.text):
            said = " and ".join(given) if given else "nothing"
            raise ValueError(f"a card with {said}; give it one of text, image (perhaps with a text), video, or gap")
        if self.video and (self.seconds is not None or self.text):
            raise ValueError(f"the card of {self.video} is shown whole and as it is; leave its text and seconds out")
        return self


class Params(Size):
    """The story: a JSON file of cards, or the cards themselves."""

    story: Local | None = Field(
        default=None, description="a JSON file with a list of cards", json_schema_extra={"position": 0}
    )
    cards: tuple[Card, ...] = Field(default=(), description="the cards, instead of a file")
    character: Who = Field(
        default="", description="who {character} is in every card alike: 'a red ball', or @NAME of a saved one"
    )
    seconds: float | None = Field(default=None, gt=0, le=3600, description="length of the timeline, to be kept to")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")

    def whole(self) -> "Params":
        return self if self.story is None else self.model_copy(update={"story": None, "cards": tuple(_cards(self))})


@dataclass(kw_only=True)
class _Shot:
    """One stream in the making: a prompt per latent, which latents are known, and pixels that come back."""

    parts: list[Tensor] = field(default_factory=list)
    done: list[bool] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    pasted: list[tuple[int, media.Frames]] = field(default_factory=list)
    first: int = 0  # frames that filled a group at the beginning
    spare: int = 0  # and at the end


def plan(params: Params, pipeline: Pipeline) -> Script:
    """A script of all windows of all shots. Raises UserError on cards that overlap or leave the timeline."""
    cards = _timed(_cards(params), params, pipeline)
    like = next((c.image or c.video for c in cards if c.image or c.video), None)
    height, width = params.sides(pipeline, like=None if like is None else media.size_of(like))
    seconds = sum(card.seconds or 0 for card in cards)
    memory.check_film(round(seconds * pipeline.usual.rate), height, width, pipeline)
    windows = reach(pipeline, height, width)
    told, likeness = _character(params, (height, width), pipeline)
    shots: list[_Shot] = []
    for card in cards:
        if not shots or card.cut:
            shots.append(_Shot())
        if CHARACTER in card.text and likeness and all(r.role == "keyframe" for r in shots[-1].references):
            shots[-1].references.append(likeness)
        text = card.text.replace(CHARACTER, told)
        _add(shots[-1], card.model_copy(update={"text": text}), params, (height, width), pipeline)

    def script() -> Generator[Plan, Tensor, Shots]:
        finals = []
        for shot in shots:
            finals.append((yield from _shoot(shot, windows, pipeline)))
        return tuple(finals)

    return script


def _character(params: Params, size: tuple[int, int], pipeline: Pipeline) -> tuple[str, Reference | None]:
    """How the character is called, and its picture where it is a saved one."""
    if not params.character.startswith(characters.MARK):
        return params.character, None
    (picture,) = likenesses([params.character], "subject", size, params.fit, pipeline)
    return characters.find(params.character).told or UNTOLD, picture


def _cards(params: Params) -> Sequence[Card]:
    if (params.story is None) == (not params.cards):
        raise UserError("a storyboard needs its cards: give a JSON file of them, or the cards, and not both")
    if params.story is None:
        return params.cards
    try:
        content: list[Any] = json.loads(Path(params.story).read_text())
        return [Card.model_validate({"text": card} if isinstance(card, str) else card) for card in content]
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join([params.story + ":", *map(str, first["loc"])])
        raise UserError(f"{where} {first['msg'][0].lower()}{first['msg'][1:]}") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{params.story} is no list of cards ({error}): write [{{'text': ...}}, ...]") from error


def _timed(cards: Sequence[Card], params: Params, pipeline: Pipeline) -> list[Card]:
    """The cards with their lengths, gaps put in where they leave some."""
    usual, rate, now = pipeline.usual, pipeline.usual.rate, 0.0
    found: list[Card] = []
    for number, card in enumerate(cards, 1):
        if CHARACTER in card.text and not params.character:
            raise UserError(f"card {number} names {CHARACTER}, and the story has none: say who with `character`")
        if card.at is not None and card.at < now - 0.5 / rate:
            raise UserError(
                f"card {number} begins at {card.at:g} s, before the one before it ends ({now:g} s): move it"
            )
        if card.at is not None and card.at - now > 0.5 / rate:
            found.append(Card(gap=True, seconds=card.at - now))
            now = card.at
        seconds = media.seconds_of(card.video) if card.video else card.seconds or usual.frames / rate
        now += seconds
        if params.seconds is not None and now > params.seconds + 0.5 / rate:
            raise UserError(f"card {number} ends at {now:g} s, after the timeline of {params.seconds:g} s: shorten it")
        found.append(card.model_copy(update={"seconds": seconds}))
    return found


def _add(shot: _Shot, card: Card, params: Params, size: tuple[int, int], pipeline: Pipeline) -> None:
    """Puts a card at the end of a shot. Its length is rounded to groups of the autoencoder."""
    spec, rate = pipeline.spec, pipeline.usual.rate
    shot.spare = 0
    begins = not shot.done
    at = 0 if begins else spec.frames(len(shot.done))
    if card.video:
        frames = media.film(card.video, rate, *size, params.fit)
        full, missing = media.fill(frames, spec.stride_t, "clip" if begins else "continuation", before=begins)
        latents = media.encode(full, pipeline, "clip" if begins else "continuation")
        shot.pasted.append((at + (missing if begins else 0), frames))
        shot.first, shot.spare = (missing, 0) if begins else (shot.first, missing)
        _extend(shot, latents, True, card.text)
        return
    wished = max(1, round((card.seconds or 0) * rate))
    count = max(1, round((wished - begins) / spec.stride_t) + begins)
    empty = torch.zeros(spec.channels, count, size[0] // spec.stride_s, size[1] // spec.stride_s)
    if card.image:
        picture = media.picture(card.image, *size, params.fit)
        known = media.encode(picture, pipeline)
        shot.pasted.append((at, picture))
        if begins:
            _extend(shot, known, True, card.text)
            empty = empty[:, 1:]
        else:
            shot.references.append(Reference(latent=known[:, 0], time=at / rate))
    _extend(shot, empty, False, card.text)


def _extend(shot: _Shot, latents: Tensor, done: bool, prompt: str) -> None:
    shot.parts.append(latents)
    shot.done += [done] * latents.shape[1]
    shot.prompts += [prompt] * latents.shape[1]


def _shoot(shot: _Shot, windows: Reach, pipeline: Pipeline) -> Generator[Plan, Tensor, Final]:
    """A shot drawn window by window."""
    whole = yield from draw(
        torch.cat(shot.parts, 1), torch.tensor(shot.done), shot.prompts, windows, tuple(shot.references)
    )
    stop = pipeline.spec.frames(whole.shape[1]) - shot.spare
    return finished(whole, shot.pasted, pipeline, shot.first, stop)
