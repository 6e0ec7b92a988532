"""What is kept: scores against limits. A verdict is made of scores alone, so other limits need no decoding."""

from dataclasses import dataclass, fields

from worldpatch.config import UserError

# Score, whether the limit is the least or the most, and what a clip beyond it is called.
RULES = (
    ("motion", "least", "too little movement"),
    ("motion_mean", "most", "too much movement"),
    ("sharpness", "least", "blurred"),
    ("luma", "least", "too dark"),
    ("luma", "most", "too bright"),
    ("still", "most", "frames repeated"),
    ("flicker", "most", "flickers"),
    ("overlay", "most", "text or a mark laid over it"),
    ("aesthetic", "least", "unattractive"),
    ("clip_match", "least", "caption does not match"),
    ("text", "most", "covered with text"),
    ("quality", "least", "judged to be poor"),
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The least and the most of each score: data/curate/measure.py and the files in data/scorers/ say what each is. A
    clip without a score, or with the limit at None, is not judged by it."""

    motion_min: float | None = 0.005
    motion_mean_max: float | None = 1.5
    sharpness_min: float | None = 8.0
    luma_min: float | None = 0.02
    luma_max: float | None = None
    still_max: float | None = 0.9
    flicker_max: float | None = 8.0
    overlay_max: float | None = 0.02
    aesthetic_min: float | None = None
    clip_match_min: float | None = None
    text_max: float | None = None
    quality_min: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value != value):
                raise UserError(f"{field.name} {value!r} is no number: give a number, or none to switch it off")


def verdict(scores: dict[str, float], limits: Limits) -> str:
    """Why a clip with these scores is not kept, by the first rule that it breaks; nothing where it is."""
    for score, side, called in RULES:
        value, limit = scores.get(score), getattr(limits, f"{score}_{'min' if side == 'least' else 'max'}")
        if value is None or limit is None:
            continue
        if (value < limit) if side == "least" else (value > limit):
            return f"{called}: {score} {value:.3g} is {'below' if side == 'least' else 'above'} {limit:g}"
    return ""
