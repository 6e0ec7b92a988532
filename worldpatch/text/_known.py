"""Which words of a prompt a model has never read, and the nearest prompt that it has."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches


def words_of(text: str) -> list[str]:
    """Lower-case words, without punctuation."""
    return "".join(c if c.isalnum() or c in "'-" else " " for c in text.lower()).split()


def unknown(prompt: str, known: Iterable[str]) -> list[str]:
    """The words of a prompt that are not among the known ones, in order, each once."""
    words = set(known)
    return [word for word in dict.fromkeys(words_of(prompt)) if word not in words]


def nearest(prompt: str, captions: Iterable[str], known: Iterable[str]) -> str | None:
    """The caption most like the prompt: misspelt words are read as the known word they resemble, then words compared.

    None where not a third of the words agree.
    """
    words = sorted(set(known))
    meant = [
        word if word in words else (*get_close_matches(word, words, 1, 0.75), word)[0] for word in words_of(prompt)
    ]
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(meant)
    best, most = None, 1 / 3
    for caption in captions:
        matcher.set_seq1(words_of(caption))
        if matcher.real_quick_ratio() > most and matcher.quick_ratio() > most and (share := matcher.ratio()) > most:
            best, most = caption, share
    return best
