"""Two ways to make more of a clip, its captions and truth following: mirror it, recolour its solids."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from worldpatch.config import UserError
from worldpatch.types import Camera, Clip, Truth
from worldpatch.worlds._tabletop.palette import COLOURS, TONES

_SIDES = re.compile(r"\b(left|right)\b")
_ACROSS = np.array([-1.0, 1.0, 1.0])  # the reflection x -> -x


def mirror(clip: Clip) -> Clip:
    """The clip seen in a mirror: frames, masks, camera, poses and every "left" and "right" in captions and truth.

    The world is reflected in the plane x = 0, so the mirrored truth is again a right-handed world that this camera
    would film so. Mirroring twice gives the clip back.
    """
    truth = clip.truth
    if truth is not None:
        truth = replace(
            truth,
            pose=truth.pose * np.array([-1, 1, 1, 1, 1, -1, -1], truth.pose.dtype),
            velocity=truth.velocity * np.array([-1, 1, 1, 1, -1, -1], truth.velocity.dtype),
            masks=None if truth.masks is None else np.ascontiguousarray(truth.masks[:, :, ::-1]),
            scene=_swap_sides(truth.scene),
        )
    return replace(
        clip,
        frames=np.ascontiguousarray(clip.frames[:, :, ::-1]),
        captions=_swap_sides(clip.captions),
        camera=None if clip.camera is None else _mirror_camera(clip.camera, clip.frames.shape[2]),
        truth=truth,
    )


def recolour(clip: Clip, colours: Mapping[int, str]) -> Clip:
    """The clip with other colours for some objects (number -> colour word), shading kept.

    Objects that share a colour (a ball and the paint it left) change together. Raises UserError without masks, on a
    glossy floor (it reflects), for an unknown object or colour, or if two objects of different colours would come
    to have the same one.
    """
    truth = clip.truth
    if truth is None or truth.masks is None:
        raise UserError("this clip has no masks to recolour by; film it with masks=True")
    if truth.scene.get("gloss"):
        raise UserError("this clip's glossy floor reflects the old colours; recolour clips with scene['gloss'] False")
    words = _new_words(truth, colours)
    frames = clip.frames.copy()
    for old, new in words.items():
        members = [k for k, item in enumerate(truth.objects) if item["colour"] == old]
        _tint(frames, truth.masks, members, np.array(COLOURS[old]), np.array(COLOURS[new]))
    objects = tuple({**item, "colour": words.get(item["colour"], item["colour"])} for item in truth.objects)
    captions = {style: _swap_colours(text, words) for style, text in clip.captions.items()}
    return replace(clip, frames=frames, captions=captions, truth=replace(truth, objects=objects))


def _mirror_camera(camera: Camera, width: int) -> Camera:
    """The pose reflected in the world and in the camera's own x, which keeps it a rotation."""
    pose, intrinsics = camera.pose.copy(), camera.intrinsics.copy()
    pose[:, :3] *= _ACROSS[:, None].astype(pose.dtype)
    pose[:, :3, 0] *= -1
    intrinsics[:, 2] = width - intrinsics[:, 2]
    return Camera(intrinsics=intrinsics, pose=pose)


def _swap_sides(value: Any) -> Any:
    """Every word "left" or "right" in nested plain values replaced by the other."""
    if isinstance(value, str):
        return _SIDES.sub(lambda side: "right" if side[0] == "left" else "left", value)
    if isinstance(value, dict):
        return {key: _swap_sides(item) for key, item in value.items()}
    return [_swap_sides(item) for item in value] if isinstance(value, list) else value


def _new_words(truth: Truth, colours: Mapping[int, str]) -> dict[str, str]:
    """Old colour word -> new one."""
    words: dict[str, str] = {}
    for k, colour in colours.items():
        if not 0 <= k < len(truth.objects):
            raise UserError(f"no object {k} to recolour: the clip has objects 0 to {len(truth.objects) - 1}")
        if colour not in COLOURS:
            raise UserError(f"unknown colour {colour!r}; known: {', '.join(COLOURS)}")
        words[truth.objects[k]["colour"]] = colour
    old = {item["colour"] for item in truth.objects}
    if len({words.get(word, word) for word in old}) < len(old):
        raise UserError(f"recolouring {words} gives two objects one colour; choose colours that no other object has")
    return words


def _tint(
    frames: UInt8[np.ndarray, "t h w 3"],
    masks: UInt8[np.ndarray, "t h w"],
    members: list[int],
    old: Float[np.ndarray, " 3"],
    new: Float[np.ndarray, " 3"],
) -> None:
    """Recolour the members' pixels in place. A pixel is read as a * old + b * white + rest (least squares): shading,
    highlight and noise; a * new replaces the first. One pixel around the mask, which the object shares with what is
    behind it, is treated alike.
    """
    own = np.isin(masks, [k + 1 for k in members])
    ring = own.copy()
    ring[:, 1:] |= own[:, :-1]
    ring[:, :-1] |= own[:, 1:]
    ring[:, :, 1:] |= own[:, :, :-1]
    ring[:, :, :-1] |= own[:, :, 1:]
    where = own | (ring & (masks == 0))
    pixels = frames[where] / 255.0
    share = pixels @ np.linalg.pinv(np.stack([old, np.ones(3)], axis=1)).T[:, :1]
    frames[where] = 255 * np.clip(pixels + np.maximum(share, 0.0) * (new - old), 0.0, 1.0) + 0.5


def _swap_colours(text: str, words: Mapping[str, str]) -> str:
    """Colour words of solids replaced, floor tones left alone, "a" and "an" put right."""
    tones = "|".join(re.escape(tone) for tone in TONES if " " in tone)
    pattern = re.compile(rf"{tones}|\b(?P<article>[Aa]n? )?(?P<size>(?:small|large) )?(?P<word>{'|'.join(words)})\b")

    def change(match: re.Match[str]) -> str:
        if match["word"] is None:
            return match[0]
        phrase = (match["size"] or "") + words[match["word"]]
        if match["article"] is None:
            return phrase
        return f"{match['article'][0]}{'n' if phrase[0] in 'aeiou' else ''} {phrase}"

    return pattern.sub(change, text)
