"""What is taken from a request."""

from worldpatch.serve import asked

CARDS = [{"text": "{character}: sits", "image": "file-3d2149d19535fe61f07854915c4dbb3c"}]


def test_words_are_judged_and_identifiers_are_not():
    """These identifiers, among one in a hundred, are refused as words."""
    params = {"cards": CARDS, "character": "@char_a6a0671d0d3d795b6709c4d1d04ef0ab"}
    assert asked.texts({"ability": "storyboard", "params": params}) == ["{character}: sits"]
    params = {"cards": CARDS, "character": "a man in a hat"}
    assert sorted(asked.texts({"ability": "storyboard", "params": params})) == ["a man in a hat", "{character}: sits"]
    params = {"prompt": "rolls", "subject": ["@char_316d4dcfb932315e4444781cd9a06355@0.5"]}
    assert asked.texts({"ability": "likeness", "params": params}) == ["rolls"]
