"""Named rules over groups of words: a text in, the rules it breaks out.

The rules are data: `rules/*.toml`, a file per category. `[words]` holds groups of terms (vocabulary.py says what a
term is) that rules of all files may speak of; `[[rules]]` holds for each rule the groups that must all be there
("a|b": one of these), within how many words of each other, and the groups that excuse it where they stand as near.
What is in `harmless` is taken out first: "killer whale" kills nobody. `people` and `artists` are groups of names,
from the files beside them.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from worldpatch.safety.policy.decision import CATEGORIES
from worldpatch.safety.policy.vocabulary import Hit, Vocabulary

WORD = 2  # places per word; a letter of a script without spaces has one
NEAR = 10  # words, where a rule says nothing


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`needs`: one group of each must be found within `within` words; `unless`: what excuses, as near."""

    category: str
    name: str
    needs: tuple[tuple[str, ...], ...]
    unless: tuple[str, ...]
    within: int

    @property
    def title(self) -> str:
        return f"{self.category}.{self.name}"


@dataclass(frozen=True)
class Book:
    """All rules, the most serious first, the reason of each category, and the words they speak of."""

    rules: tuple[Rule, ...]
    reasons: dict[str, str]
    groups: dict[str, tuple[str, ...]]
    vocabulary: Vocabulary

    def broken(self, text: str, categories: frozenset[str]) -> Rule | None:
        """The most serious rule of these categories that a plain text breaks."""
        hits = _shielded(self.vocabulary.find(text))
        for rule in self.rules:
            if rule.category in categories and _breaks(rule, hits):
                return rule
        return None

    def speaks_of(self, text: str, group: str) -> bool:
        """Is a term of this group in a plain text, and not in something harmless?"""
        return group in _shielded(self.vocabulary.find(text))


@lru_cache(1)
def book() -> Book:
    """The rules that ship."""
    folder = resources.files("worldpatch.safety.policy")
    groups: dict[str, tuple[str, ...]] = {name: names(f"{name}.txt") for name in ("people", "artists")}
    rules, reasons = [], {}
    for path in sorted(folder.joinpath("rules").iterdir(), key=lambda path: path.name):
        values = tomllib.loads(path.read_text("utf-8"))
        groups["harmless"] = (*groups.get("harmless", ()), *values.get("harmless", ()))
        groups |= {name: tuple(terms) for name, terms in values["words"].items()}
        if "category" in values:
            reasons[values["category"]] = values["reason"]
            rules += [_rule(values["category"], rule) for rule in values["rules"]]
    rules.sort(key=lambda rule: CATEGORIES.index(rule.category))
    return Book(tuple(rules), reasons, groups, Vocabulary(groups))


def names(file: str) -> tuple[str, ...]:
    """Names of a file: a person per line, ways to write the name between bars."""
    lines = resources.files("worldpatch.safety.policy").joinpath(file).read_text("utf-8").splitlines()
    return tuple(name for line in lines if not line.startswith("#") for name in line.split(" | "))


def _rule(category: str, values: dict[str, Any]) -> Rule:
    needs = tuple(tuple(groups.split("|")) for groups in values["all"])
    unless, within = tuple(values.get("unless", ())), values.get("within", NEAR)
    return Rule(category=category, name=values["name"], needs=needs, unless=unless, within=within)


def _shielded(hits: dict[str, list[Hit]]) -> dict[str, list[Hit]]:
    """Without what lies inside something harmless."""
    safe = {number for hit in hits.get("harmless", ()) for number in range(hit.first, hit.last + 1)}
    if not safe:
        return hits
    kept = {name: [h for h in found if not safe.issuperset(range(h.first, h.last + 1))] for name, found in hits.items()}
    return {name: found for name, found in kept.items() if found}


def _breaks(rule: Rule, hits: dict[str, list[Hit]]) -> bool:
    """Is there a stretch of text short enough in which all is found that the rule needs, and nothing that excuses
    it?"""
    if not all(any(group in hits for group in groups) for groups in rule.needs):
        return False
    reach = rule.within * WORD
    found = sorted(
        (hit.begin, hit.end, which)
        for which, groups in enumerate(rule.needs)
        for g in groups
        for hit in hits.get(g, ())
    )
    excuses = [hit for group in rule.unless for hit in hits.get(group, ())]
    last: dict[int, tuple[int, int]] = {}
    for begin, end, which in found:
        last[which] = (begin, end)
        if len(last) < len(rule.needs) or begin - min(first for first, _ in last.values()) > reach:
            continue
        low, high = min(first for first, _ in last.values()), max(until for _, until in last.values())
        if not any(low - reach <= hit.end and hit.begin <= high + reach for hit in excuses):
            return True
    return False
