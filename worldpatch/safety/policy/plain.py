"""A text in plain small letters: accents, look-alikes of other scripts, styled letters and invisible characters
undone."""

import re
import unicodedata
from functools import cache

from worldpatch.config import UserError

INVISIBLE = re.compile(
    r"[\u0000-\u0008\u000e-\u001f\u007f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0001\U000e007f\U000e0100-\U000e01ef]"
)
MARKS = re.compile(
    r"[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u1ab0-\u1aff"
    r"\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
)
"""Accents and points of the alphabets in which a word can be read without them."""
STYLED = re.compile(
    r"(?:LATIN LETTER SMALL CAPITAL|LATIN SMALL LETTER (?:TURNED|REVERSED|SIDEWAYS)|REGIONAL INDICATOR SYMBOL LETTER"
    r"|TAG LATIN (?:SMALL|CAPITAL) LETTER|(?:NEGATIVE |CROSSED NEGATIVE )?(?:CIRCLED|SQUARED) LATIN CAPITAL LETTER)"
    r" ([A-Z])|LATIN SMALL LETTER ([A-Z])(?: WITH .*)"
)
SPELT = {
    "\u0131": "i", "\u00e6": "ae", "\u0153": "oe", "\u00f0": "d", "\u00fe": "th", "\u0251": "a", "\u0261": "g",
    "\u0622": "\u0627", "\u0623": "\u0627", "\u0625": "\u0627", "\u0671": "\u0627", "\u0649": "\u064a",
    "\u06cc": "\u064a", "\u06a9": "\u0643", "\u0629": "\u0647", "\U000e0020": " ",
}  # fmt: skip
"""Letters that stand for others, in Latin and Arabic script."""


def plain(text: str) -> str:
    """Small letters, one space between words, nothing invisible; scripts other than Latin stay as they are."""
    if not text.isascii():
        text = INVISIBLE.sub("", unicodedata.normalize("NFKD", text.translate(_styled())))
        text = unicodedata.normalize("NFC", MARKS.sub("", text)).casefold().translate(_styled())
        text = " ".join(_latin(word) for word in text.split())
    return " ".join(INVISIBLE.sub("", text).casefold().split())


def alike(word: str) -> str:
    """A word in the Latin letters that its own look like."""
    return word.translate(_alike())


def _latin(word: str) -> str:
    """A word of mixed scripts in Latin letters: nobody writes one by accident."""
    if word.isascii() or not any("a" <= c <= "z" for c in word) or not any(c > "\u036f" and c.isalpha() for c in word):
        return word
    return alike(word)


@cache
def _styled() -> dict[int, str]:
    """Letters in small capitals, circles, squares, upside down, with strokes: each by its name in Unicode."""
    blocks = (
        (0x00D8, 0x02B0),
        (0x1D00, 0x1EFF),
        (0x2C60, 0x2C80),
        (0xA720, 0xA800),
        (0x1F110, 0x1F200),
        (0xE0041, 0xE007B),
    )
    table = {ord(c): to for c, to in SPELT.items()}
    for first, last in blocks:
        for code in range(first, last):
            if (found := STYLED.fullmatch(unicodedata.name(chr(code), ""))) and code not in table:
                table[code] = (found[1] or found[2]).lower()
    return table


@cache
def _alike() -> dict[int, str]:
    """Unicode's table of look-alikes (UTS 39), as far as it ends at Latin letters."""
    try:
        from confusable_homoglyphs.confusables import confusables_data
    except ImportError as error:
        raise UserError("the policy needs confusable-homoglyphs: pip install 'worldpatch[safety]'") from error
    table: dict[int, str] = {}
    for character, others in confusables_data.items():
        likes = [
            other["c"] for other in others if len(other["c"]) == 1 and other["c"].isascii() and other["c"].isalpha()
        ]
        small = character.casefold()[:1]
        if len(character) == 1 and not small.isascii() and likes:  # a long s is small an s, which looks like no f
            table.setdefault(ord(small), min(likes, key=lambda c: (c.isupper(), c)).lower())
    return table | {
        ord(c): to
        for c, to in zip(
            "\u0432\u043a\u043c\u043d\u0442\u0456\u0457\u043f\u0438\u044f\u0437", "bkmhtiinnre", strict=True
        )
    }
