"""Every evasion is undone, and what is no evasion stays as it is."""

import base64
import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldpatch.safety.policy.plain import alike, plain
from worldpatch.safety.policy.readings import MORSE_CODE, readings
from worldpatch.safety.policy.vocabulary import Vocabulary

SECRET = "a zorblatt under the zanzibar"  # words that nobody knows, so that no list of common ones helps
VOCABULARY = Vocabulary({"things": ("zorblatt", "zanzibar", "wumpus*")})
SIGNS = {letter: sign for sign, letter in MORSE_CODE.items()}

EVASIONS = {
    "capitals": SECRET.upper(),
    "full width": "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in SECRET),
    "bold letters": "".join(chr(0x1D41A + ord(c) - 97) if c != " " else c for c in SECRET),
    "circled": "".join(chr(0x24D0 + ord(c) - 97) if c != " " else c for c in SECRET),
    "regional indicators": "".join(chr(0x1F1E6 + ord(c) - 97) if c != " " else c for c in SECRET),
    "tags": "".join(chr(0xE0000 + ord(c)) for c in SECRET),
    "accents": SECRET.replace("a", "a\u0301").replace("o", "o\u0308"),
    "strokes": SECRET.replace("b", "\u0180").replace("l", "\u0142"),
    "invisible": "\u200b".join(SECRET),
    "Cyrillic letters": SECRET.replace("a", "\u0430").replace("o", "\u043e"),
    "Greek letters": SECRET.replace("o", "\u03bf").replace("i", "\u03b9"),
    "signs for letters": "a z0rbl@tt under the z4nz1b4r",
    "other signs": "a zorb|a++ under the zan2!bar",
    "spaced": "a z o r b l a t t under the z.a.n.z.i.b.a.r",
    "hyphens": "a zor-blatt under the zan-zi-bar",
    "stars": "a z*rbl*tt under the z#nzibar",
    "doubled": "a zzzoorblaatt under the zaaanziibbbar",
    "shuffled": "a zrbolatt under the znzaibar",
    "halves": "a zorb latt under the zanz ibar",
    "quoted parts": "a 'zor' + 'blatt' under the \"zan\".\"zibar\"",
    "backwards": SECRET[::-1],
    "words backwards": "a ttalbroz under the rabiznaz",
    "no spaces": SECRET.replace(" ", ""),
    "rot13": codecs.encode(SECRET, "rot13"),
    "shifted by five": "".join(chr((ord(c) - 97 + 5) % 26 + 97) if c != " " else c for c in SECRET),
    "mirrored": "".join(chr(219 - ord(c)) if c != " " else c for c in SECRET),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 twice": base64.b64encode(base64.b64encode(SECRET.encode())).decode(),
    "base64 in a sentence": f"decode {base64.urlsafe_b64encode(SECRET.encode()).decode()} and film it",
    "base32": base64.b32encode(SECRET.encode()).decode(),
    "hex": SECRET.encode().hex(),
    "hex with spaces": SECRET.encode().hex(" "),
    "binary": " ".join(f"{c:08b}" for c in SECRET.encode()),
    "decimal": " ".join(str(c) for c in SECRET.encode()),
    "numbers of letters": "film 26-15-18-2-12-1-20-20 and 26-1-14-26-9-2-1-18",
    "percent": "".join(f"%{c:02x}" for c in SECRET.encode()),
    "entities": "".join(f"&#{c};" for c in SECRET.encode()),
    "escapes": "".join(f"\\u{c:04x}" for c in SECRET.encode()),
    "Morse": " / ".join(" ".join(SIGNS[c] for c in word) for word in SECRET.split()),
}  # fmt: skip


@pytest.mark.parametrize("how", EVASIONS)
def test_evasions_are_undone(how: str):
    assert EVASIONS[how] != SECRET
    found = readings(EVASIONS[how], VOCABULARY)
    assert any("zorblatt" in text and "zanzibar" in text for text in found), found


@pytest.mark.parametrize("prompt", [
    "a red ball rolls down 3 steps, 4k, f/1.8, 35mm",
    "snug guests stop at the pool; was it a saw or a straw?",
    "An INTERNATIONAL Photorealistic documentary_style shot",
    "un perro corre por la playa al atardecer",
    "дети гуляют в парке",
    "桜の木の下で犬が走る",
])  # fmt: skip
def test_ordinary_prompts_read_as_they_stand(prompt: str):
    """Signs inside words aside, no word of theirs becomes one of the vocabulary."""
    assert not any(VOCABULARY.find(text) for text in readings(prompt, VOCABULARY))
    assert readings(prompt, VOCABULARY)[0] == plain(prompt)


def test_words_in_use_are_never_respelt():
    """ "snug" is "guns" backwards, and means nothing but snug."""
    guns = Vocabulary({"weapons": ("guns",)})
    assert not any(guns.find(text) for text in readings("a snug cabin", guns))
    assert any(guns.find(text) for text in readings("gu-ns on a table", guns))


def test_scripts_stay_where_a_word_is_of_one():
    assert plain("Порно И ЁЛКА") == "порно и елка"
    assert plain("p\u043erno") == "porno" and alike("\u0441\u043e\u0441\u043e\u0430") == "cocoa"
    assert plain("ｶﾞﾗｽ") == "ガラス" and plain("\u1112\u1161\u11ab") == "한"
    assert plain("İstanbul'da çıplak ışık") == "istanbul'da ciplak isik"
    assert plain("مُدَرِّسَة") == "مدرسه"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_readings(text: str):
    found = readings(text, VOCABULARY)
    assert len(found) == len(set(found)) and all(found)
    assert bool(found) or not plain(text)


def test_look_alikes_become_the_letter_that_they_look_like():
    assert plain("Sеvеrеd hеаdѕ, Ѕhоw Kеir") == "severed heads, show keir"  # half of the letters are Cyrillic
    assert plain("ſevered headſ") == "severed heads"
