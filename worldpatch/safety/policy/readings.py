"""Evasions undone: a prompt in, and the ways in which somebody who wants to understand it may read it.

First come codes of whole passages (base64, hex, Morse, shifted alphabets, text backwards), then spelling, word by
word: a word that nobody uses is replaced by one of the vocabulary where undoing one trick makes it so (signs for
letters, letters left out, doubled or shuffled, words torn apart or run together). Words in common use are never
touched.
"""

import base64
import binascii
import codecs
import html
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import resources
from urllib.parse import unquote

from worldpatch.safety.policy.plain import alike, plain
from worldpatch.safety.policy.vocabulary import Vocabulary

DEEP = 3  # codes within codes that are undone
MOST = 12  # readings of one prompt
SAMPLE = 400  # characters by which a code is recognised
LONGEST = 3000  # letters without spaces that are taken apart in a prompt
SEPARATORS = re.compile(r"[^\w@$!|+]|_")
SPACED = re.compile(r"(?<!\w)[^\W_](?:[\W_]{1,3}[^\W_](?!\w)){2,}")
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{10,}={0,2}")
BASE32 = re.compile(r"[A-Z2-7]{16,}=*")
HEX = re.compile(r"(?:(?:0x|\\x|%)?[0-9a-fA-F]{2}[\s:,;-]?){6,}")
BINARY = re.compile(r"(?:[01]{7,8}[\s,]*){4,}")
DECIMAL = re.compile(r"(?<!\d)(?:\d{2,3}[\s,;]+){5,}\d{2,3}(?!\d)")
ORDINAL = re.compile(r"(?<!\d)(?:(?:[1-9]|1\d|2[0-6])[\s,.;-]+){4,}(?:[1-9]|1\d|2[0-6])(?!\d)")
ESCAPED = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})|[Uu]\+([0-9a-fA-F]{4,6})\s?")
MORSE = re.compile(r"[.\-\u2022\u2013\u2014\u00b7_]{1,6}(?:[\s/|]+[.\-\u2022\u2013\u2014\u00b7_]{1,6}){5,}")
GAPS = re.compile(r"\s{2,}|\s[/|]\s")
QUOTED = re.compile(r"""["']\s*(?:\+|\.|,|&)?\s*["']""")
MORSE_CODE: dict[str, str] = dict(zip(
    (".-", "-...", "-.-.", "-..", ".", "..-.", "--.", "....", "..", ".---", "-.-", ".-..", "--",
     "-.", "---", ".--.", "--.-", ".-.", "...", "-", "..-", "...-", ".--", "-..-", "-.--", "--..",),
    "abcdefghijklmnopqrstuvwxyz", strict=True,
))  # fmt: skip
BRAILLE = {0x2800 + dots: letter for letter, dots in zip(
    "abcdefghijklmnopqrstuvwxyz",
    (1, 3, 9, 25, 17, 11, 27, 19, 10, 26, 5, 7, 13, 29, 21, 15, 31, 23, 14, 30, 37, 39, 58, 45, 61, 53), strict=True,
)} | {0x2800: " "}  # fmt: skip
SPOKEN = {
    "alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima",
    "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "xray",
    "yankee", "zulu", "alpha", "juliet",
}  # fmt: skip
LEET = [
    str.maketrans("0123456789@$!|+\u20ac\u00a3(<\u00a2", "oizeasgtbgasiltelccc"),
    str.maketrans("0123456789@$!|+\u20ac", "olzeasbtbgasilte"),
]
ATBASH = str.maketrans("abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba")
REPEATED = re.compile(r"(.)\1+")
MASK = re.compile(r"[*#_?.\u2022-]")
WORD = re.compile(r"[^\W\d_]+")
TRIM = "\"'`.,;:?!()[]{}<>~*_-\u2026\u201c\u201d\u2018\u2019\u00ab\u00bb"


@lru_cache(1)
def common() -> frozenset[str]:
    """Words that everybody uses: they are what they are, and by them a text is known to be one."""
    return frozenset(resources.files("worldpatch.safety.policy").joinpath("common.txt").read_text("utf-8").split())


def readings(text: str, vocabulary: Vocabulary) -> list[str]:
    """A prompt in plain letters, followed by what it reads as once it is decoded and spelt as usual."""
    speller = _speller(vocabulary)
    found = dict.fromkeys([plain(text)])
    fresh = [text]
    for _ in range(DEEP):
        fresh = [decoded for one in fresh for decoded in _decoded(one, speller)][:MOST]
        fresh = [one for one in fresh if plain(one) not in found]
        found |= dict.fromkeys(map(plain, fresh))
    for one in list(found)[:MOST]:
        found.setdefault(speller.mended(one))
        if "'" in one or '"' in one:
            found.setdefault(speller.mended(QUOTED.sub("", one)))
    return [one for one in found if one][: 2 * MOST]


@lru_cache(4)
def _speller(vocabulary: Vocabulary) -> "Speller":
    return Speller(vocabulary)


# ---------------------------------------------------------------------------------------------------------------- codes


def _decoded(text: str, speller: "Speller") -> Iterator[str]:
    """What comes out of the usual codes, in its place in the text, where it is text."""
    out = html.unescape(unquote(text))
    if any(map(BRAILLE.__contains__, map(ord, set(out)))):
        out = out.translate(BRAILLE)
    out = ESCAPED.sub(lambda found: _character(found[1] or found[2] or found[3], 16), out)
    for pattern, decode in CODES:
        out = pattern.sub(lambda found, decode=decode: decode(found[0]), out)
    yield out
    if any(SPACED.fullmatch(part) for part in GAPS.split(text)):
        yield " ".join(SEPARATORS.sub("", part) if SPACED.fullmatch(part) else part for part in GAPS.split(text))
    spoken = [w[0] if w in SPOKEN else f" {w} " for w in WORD.findall(text.casefold().replace("x-ray", "xray"))]
    if sum(len(w) == 1 for w in spoken) >= 4:
        yield "".join(spoken)
    yield from _shifted(text, speller)
    initials = "".join(line.strip()[:1] for line in text.splitlines())
    if len(initials) >= 5:
        yield speller.split(initials.casefold())


def _shifted(text: str, speller: "Speller") -> Iterator[str]:
    """Backwards, and in alphabets shifted or mirrored, where this makes words of what are none."""
    strange = [word for word in WORD.findall(plain(text[:SAMPLE])) if len(word) > 2 and not speller.in_use(word)]
    if len(strange) < 2:
        return
    if speller.share([word[::-1] for word in strange]) >= 0.5:
        yield text[::-1]
        yield " ".join(word[::-1] for word in text.split())
    for table in (ATBASH, *map(_caesar, range(1, 26))):
        if speller.share([word.translate(table) for word in strange]) >= 0.5:
            yield WORD.sub(
                lambda w, table=table: w[0] if speller.in_use(w[0].casefold()) else w[0].casefold().translate(table),
                text,
            )


@lru_cache(26)
def _caesar(by: int) -> dict[int, str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return {ord(c): letters[(i + by) % 26] for i, c in enumerate(letters)}


def _text(content: bytes, otherwise: str) -> str:
    """Bytes as text between spaces, where they are text."""
    for encoding in ("utf-8", "utf-16-le") if b"\0" in content else ("utf-8",):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        letters = sum(c.isalnum() or c.isspace() or c in ".,!?'-" for c in text)
        if WORD.search(text) and letters >= 0.85 * len(text):
            return f" {text} "
    return otherwise


def _base64(word: str) -> str:
    body = word.rstrip("=").replace("-", "+").replace("_", "/")
    if body.islower() or (body.isalpha() and body.istitle()):  # a long word, not a code
        return word
    for cut in (body, body[: len(body) // 4 * 4]):
        try:
            return _text(base64.b64decode(cut + "=" * (-len(cut) % 4)), word)
        except (binascii.Error, ValueError):
            continue
    return word


def _base32(word: str) -> str:
    try:
        return _text(base64.b32decode(word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 8)), word)
    except (binascii.Error, ValueError):
        return word


def _hex(found: str) -> str:
    return _text(bytes.fromhex("".join(re.findall(r"[0-9a-fA-F]{2}", re.sub(r"0x|\\x", " ", found)))), found)


def _binary(found: str) -> str:
    return _text(bytes(int(bits, 2) for bits in re.findall(r"[01]{7,8}", found)), found)


def _decimal(found: str) -> str:
    numbers = [int(number) for number in re.findall(r"\d+", found)]
    return _text(bytes(numbers), found) if max(numbers) < 256 else found


def _ordinal(found: str) -> str:
    return " " + "".join(chr(96 + int(number)) for number in re.findall(r"\d+", found)) + " "


def _morse(found: str) -> str:
    signs = found.translate({ord(c): "." for c in "\u2022\u00b7"} | {ord(c): "-" for c in "\u2013\u2014_"})
    words = re.split(r"\s*[/|]\s*|\s{2,}", signs)
    return " " + " ".join("".join(MORSE_CODE.get(sign, "") for sign in word.split()) for word in words) + " "


def _character(code: str, base: int) -> str:
    number = int(code, base)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else " "


CODES: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (BINARY, _binary), (HEX, _hex), (BASE32, _base32), (BASE64, _base64), (DECIMAL, _decimal), (ORDINAL, _ordinal),
    (MORSE, _morse),
)  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- spelling


class Speller:
    """Words of a vocabulary in their usual spelling, whatever was done to them."""

    def __init__(self, vocabulary: Vocabulary):
        self._listed = lru_cache(50_000)(vocabulary.listed)
        words = {word for word in vocabulary.words if len(word) >= 3 and word.isascii() and word.isalpha()}
        self._squeezed = {REPEATED.sub(r"\1", word): word for word in (*common(), *words) if len(word) >= 3}
        self._shuffled = {_shuffle(word): word for word in words if len(word) >= 5}
        self._whole = common() | {word for word in vocabulary.words if len(word) >= 4}
        self._masked: dict[tuple[str, int], list[str]] = {}
        for word in words:
            self._masked.setdefault((word[0], len(word)), []).append(word)

    def share(self, words: list[str]) -> float:
        """How much of these words, by letters, is in use."""
        return sum(len(word) for word in words if self.in_use(word)) / max(1, sum(map(len, words)))

    def mended(self, text: str) -> str:
        """A plain text with its unusual words spelt as usual."""
        spelt = {SEPARATORS.sub("", found[0]) for found in SPACED.finditer(text)}
        text = SPACED.sub(lambda found: SEPARATORS.sub("", found[0]), text)
        known: dict[str, str] = {}
        left = LONGEST
        out: list[str] = []
        for chunk in text.split():
            if chunk not in known:
                known[chunk] = self._usual(chunk)
                if known[chunk] == chunk and (len(chunk) >= 9 or chunk in spelt) and left > 0:
                    known[chunk] = self._run_apart(chunk, left)
                    left -= len(chunk)
            out.append(known[chunk])
        return " ".join(_halves(" ".join(out).split(), self.in_use, self._listed))

    def split(self, letters: str) -> str:
        """Letters without spaces as the words they are made of, or as they stand."""
        best: list[tuple[float, int]] = [(0.0, 0)]
        for end in range(1, len(letters) + 1):
            options = [(best[end - 1][0] + 3.0, end - 1)]
            for start in range(max(0, end - 14), end):
                word = letters[start:end]
                if word in common() if len(word) < 3 else (word in common() or self._listed(word, 3)):
                    options.append((best[start][0] + (1.5 if len(word) < 4 else 1.0), start))
            best.append(min(options))
        pieces, end = [], len(letters)
        while end:
            pieces.append(letters[best[end][1] : end])
            end = best[end][1]
        strange = sum(len(p) for p in pieces if len(p) == 1 and p not in ("a", "i"))
        return " ".join(reversed(pieces)) if strange <= 0.25 * len(letters) else letters

    def _usual(self, chunk: str) -> str:
        bare = chunk.strip(TRIM)
        if len(bare) < 3 or all(self.in_use(word) for word in WORD.findall(bare)) and bare.isalpha():
            return chunk
        if not bare.isascii():
            bare = alike(bare)
        for candidate in self._signs_undone(bare, chunk):
            if len(candidate) >= 2 and self.in_use(candidate):
                return candidate
        for candidate in self._unscrambled("".join(WORD.findall(bare))):
            if candidate in self._whole:
                return candidate
        return chunk

    def in_use(self, word: str) -> bool:
        """Is this a word that everybody uses, or one of the vocabulary?"""
        return word in common() or self._listed(word)

    def _signs_undone(self, bare: str, chunk: str) -> Iterator[str]:
        """What a word may be whose letters are covered or parted by signs."""
        yield bare
        letters = "".join(WORD.findall(bare))
        if letters == bare:
            return
        if letters:  # numbers are numbers
            yield from (_letters(word.translate(table)) for table in LEET for word in (chunk, bare))
        yield from self._unmasked(bare)
        if not any(len(piece) > 2 and self.in_use(piece) for piece in WORD.findall(bare)):
            yield letters

    def _unscrambled(self, letters: str) -> Iterator[str]:
        """What a word may be whose letters are doubled, moved or shifted, likelier ones first."""
        if len(letters) >= 4:
            squeezed = REPEATED.sub(r"\1", letters)
            yield self._squeezed.get(squeezed, squeezed)
        if len(letters) >= 5:
            yield letters[::-1]
            yield self._shuffled.get(_shuffle(letters), "")
            yield codecs.encode(letters, "rot13")
            yield letters.translate(ATBASH)
            yield _pig_latin(letters)

    def _unmasked(self, bare: str) -> Iterator[str]:
        """Words in which some letters, but not most, are covered by a sign each."""
        covered = MASK.sub("?", bare)
        signs = covered.count("?")
        if not signs or not covered[0].isalpha() or signs > len(covered) // 2 or not covered.replace("?", "").isalpha():
            return
        pattern = re.compile(covered.replace("?", "."))
        yield from (word for word in self._masked.get((covered[0], len(covered)), ()) if pattern.fullmatch(word))

    def _run_apart(self, chunk: str, most: int) -> str:
        """Words written without spaces, the first `most` letters of them."""
        bare = chunk.strip(TRIM)
        if not (bare.isascii() and bare.isalpha()) or self.in_use(bare):
            return chunk
        return self.split(bare[:most])


def _halves(words: list[str], in_use: Callable[[str], bool], listed: Callable[[str], bool]) -> Iterator[str]:
    at = 0
    while at < len(words):
        first, second = words[at], words[at + 1] if at + 1 < len(words) else ""
        whole = first + second
        short = len(first) < 8 and len(second) < 8 and len(whole) >= 4 and whole.isalpha() and whole.isascii()
        if second and short and not (in_use(first) and in_use(second)) and whole not in common() and listed(whole):
            yield whole
            at += 2
        else:
            yield first
            at += 1


def _letters(text: str) -> str:
    return "".join(WORD.findall(text))


def _shuffle(word: str) -> str:
    return word[0] + "".join(sorted(word[1:-1])) + word[-1]


def _pig_latin(word: str) -> str:
    """Undone: "akednay" is "naked". The vocabulary tells which consonants were moved, here the last one before "ay"."""
    if not word.endswith("ay") or len(word) < 5:
        return ""
    body = word[:-2]
    return body[:-1] if body.endswith(("w", "y")) and body[0] in "aeiou" else body[-1] + body[:-1]
