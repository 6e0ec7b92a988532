"""What a prompt asks a clip to show: its wish (`worlds/_tabletop/wish.py`) in the classes that detectors find."""

from dataclasses import asdict

from worldpatch.evals._truth import CAMERAS, EVENTS, Expected, Solid, acted, class_of
from worldpatch.worlds._tabletop.wish import Wish
from worldpatch.worlds._tabletop.wish import read as read


def expected(wish: Wish) -> Expected:
    """What a clip must show. Where words are unread, they may have asked for anything: then other solids and any
    camera are welcome. Where all was read and no move is named, the camera rests, as in every caption."""
    whole = bool(wish.solids) and not wish.unread
    events = acted(len(wish.solids), [asdict(beat) for beat in wish.beats])
    camera = class_of(wish.move or ("rest" if whole else ""))
    return Expected(
        solids=tuple(
            Solid(colour=c, shape=s, events=tuple(x for x in e if x in EVENTS))
            for (c, s), e in zip(wish.solids, events, strict=True)
        ),
        camera=camera if camera in CAMERAS else "",
        motion=None,
        alone=whole,
    )
