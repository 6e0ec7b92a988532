"""Which clips of a set show the same subject, or the same look: pairs to learn references from."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Generator

from worldpatch.data.loader import Item
from worldpatch.data.manifest import Row
from worldpatch.flow.noise import below
from worldpatch.types import UNTOLD, Reference, Role

DECOR = ("look", "floor", "pattern", "gloss", "wall")


def subject(row: Row) -> tuple[str, str] | None:
    """(colour, shape) of the only object of a clip; None where there is none or several."""
    objects = row.simulated.get("objects", [])
    return (objects[0]["colour"], objects[0]["shape"]) if len(objects) == 1 else None


def look(row: Row) -> tuple[Any, ...] | None:
    """Everything about a clip but its objects and what they do."""
    return tuple(row.simulated.get(name) for name in DECOR) if row.simulated else None


TRAITS: dict[Role, Callable[[Row], tuple[Any, ...] | None]] = {"subject": subject, "look": look}


class Likeness:
    """Finds for a clip another of the same set, of the same size, that shares its subject or its look."""

    def __init__(self, rows: Sequence[Row]):
        self.numbers = {row.clip_id: number for number, row in enumerate(rows)}
        self.traits: dict[Role, list[tuple[Any, ...] | None]] = {
            role: [_at_size(row, trait(row)) for row in rows] for role, trait in TRAITS.items()
        }
        self.shared: dict[Role, dict[Any, list[int]]] = {role: defaultdict(list) for role in TRAITS}
        for role, traits in self.traits.items():
            for number, trait in enumerate(traits):
                if trait is not None:
                    self.shared[role][trait].append(number)

    def colour(self, number: int) -> str:
        """The colour of a clip's only object."""
        trait = self.traits["subject"][number]
        assert trait is not None
        return trait[0]

    def partners(self, key: str, role: Role) -> list[int]:
        """The numbers of all clips like this one, itself left out."""
        number = self.numbers.get(key)
        trait = None if number is None else self.traits[role][number]
        return [other for other in self.shared[role][trait] if other != number] if trait is not None else []

    def draw(self, key: str, generator: Generator) -> tuple[Role, int] | None:
        """A role and the number of a clip to refer to; None where no other clip is like this one."""
        found: list[tuple[Role, list[int]]] = [(role, self.partners(key, role)) for role in TRAITS]
        found = [(role, numbers) for role, numbers in found if numbers]
        if not found:
            return None
        role, numbers = found[below(len(found), generator)]
        return role, numbers[below(len(numbers), generator)]


def refer(item: Item, role: Role, generator: Generator) -> tuple[Reference, ...]:
    """A picture of a clip, as a reference of no time."""
    if not item.keyframes:
        return ()
    picture = item.keyframes[below(len(item.keyframes), generator)]
    return (replace(picture, latent=picture.latent.float(), time=None, role=role),)


def untold(caption: str, colour: str) -> str:
    """A caption whose only object is not told: what it is must be seen."""
    named = rf"\b(?:(?:an?|the) )?(?:(?:small|large) )?{re.escape(colour)} \w+"
    start = UNTOLD[0].upper() + UNTOLD[1:]
    return re.sub(named, lambda m: start if m[0][0].isupper() else UNTOLD, caption, flags=re.IGNORECASE)


def _at_size(row: Row, trait: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return None if trait is None or row.latent is None else (*trait, row.latent.h, row.latent.w)
