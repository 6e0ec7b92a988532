"""The tables of a shipped model's card.md from its report cards: what stands between the two marks is written anew.

python scripts/card_tables.py checkpoints/tabletop
"""

import json
import sys
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- tables: runs/cards.sh -->", "<!-- end of tables -->"
PROMPTS = {"prompts_level1": "Level 1: one solid", "prompts_level2": "Level 2: one to three solids"}
Card = dict[str, Any]


def main() -> None:
    folder = Path(sys.argv[1])
    cards = {path.stem: json.loads(path.read_text()) for path in sorted((folder / "cards").glob("*.json"))}
    page = folder / "card.md"
    text = page.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"{page} has no place for tables: put the lines {BEGIN!r} and {END!r} where they belong")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{tables(cards)}\n\n{END}{after}")


def tables(cards: dict[str, Card]) -> str:
    parts = [f"### {told}\n\n{prompts(cards[name])}" for name, told in PROMPTS.items()]
    return "\n\n".join([*parts, f"### All suites\n\n{suites(cards)}", f"### Physics\n\n{physics(cards['physics'])}"])


def prompts(card: Card) -> str:
    """Criteria beside renders and bars, then strata."""
    (group,) = card["groups"]
    rows = [
        (
            m["metric"].replace("_", " "), percent(m["value"]), percent(m["real"]),
            "" if m.get("bar") is None else percent(m["bar"]),
            "" if m.get("bar") is None else "yes" if m["value"] >= m["bar"] else "**no**",
        )
        for m in group["metrics"]
    ]  # fmt: skip
    rows.append(("**mean**", skill(card["headline"]), "", "", ""))
    found = table(("criterion", "generated", "real", "bar", "met"), rows)
    strata = [(f"{kind}: {name}", skill(of)) for kind, all_of in card["strata"].items() for name, of in all_of.items()]
    return f"{found}\n\n{table(('stratum', 'mean of criteria'), sorted(strata))}"


def suites(cards: dict[str, Card]) -> str:
    rows = []
    for name, card in cards.items():
        if name == "twins":
            mean = card["mean"]["twins"]
            told = f"{percent(mean['preferred'])} ({mean['low']:.0%} to {mean['high']:.0%}) prefer the possible one"
            alone = "single frames " + percent(card["mean"]["control"]["preferred"])
        else:
            told = skill(card["headline"])
            alone = ", ".join(f"{k} {percent(v)}" for k, v in card["headline"]["baselines"].items())
        clips = len(card.get("samples", ())) or f"{card['mean']['twins']['couples']} pairs of twins"
        made = card.get("made", "")[:10]  # twins have no date
        rows.append((name.replace("_", " "), clips, told, alone, made, f"[json](cards/{name}.json)"))
    return table(("suite", "clips", "skill, 95%", "beside it", "made", "card"), rows)


def physics(card: Card) -> str:
    groups = sorted(card["groups"], key=lambda group: -group["skill"])
    rows = [(g["name"].replace("_", " "), skill(g), *(percent(v) for v in g["baselines"].values())) for g in groups]
    modes = [(f"mode: {name}", skill(of), *(percent(v) for v in of["baselines"].values())) for name, of in
             card["strata"]["mode"].items()]  # fmt: skip
    return table(("scenario", "skill, 95%", *card["headline"]["baselines"]), [*rows, *modes])


def skill(of: Card) -> str:
    low, high = of["interval"]
    return f"{of['skill']:.0%} ({low:.0%} to {high:.0%})"


def percent(value: float) -> str:
    return f"{value:.0%}"


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    main()
