"""A marked clip gives its number back, whole or as a worse copy; nothing else gives any; and it looks the same."""

import io
from pathlib import Path

import av
import numpy as np
import pytest

from worldpatch.config import UserError
from worldpatch.safety import watermark
from worldpatch.video.planes import RANGE, Planes
from worldpatch.video.read import read
from worldpatch.video.resize import resize

OPEN = Path(__file__).parents[3] / "shared" / "clips" / "open"
NAMES = (0, 1, 2**48 - 1, 0xC0FFEE123456)
FRAMES, HEIGHT, WIDTH = 16, 128, 176


def scene(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Clouds of colour that drift over one another."""
    rng = np.random.default_rng(seed)
    y, x, t = np.meshgrid(*(np.linspace(0, 1, n) for n in (height, width, frames)), indexing="ij")
    clip = np.zeros((frames, height, width, 3))
    for _ in range(12):
        down, across, speed = rng.normal(0, 12), rng.normal(0, 12), rng.normal(0, 4)
        wave = np.cos(down * y + across * x + speed * t + rng.uniform(0, 6))
        clip += wave.transpose(2, 0, 1)[..., None] * rng.normal(0, 15, 3)
    return np.clip(128 + clip, 0, 255).astype(np.uint8)


def coded(frames: np.ndarray, crf: int = 28) -> np.ndarray:
    """Through H.264 and back."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": str(crf), "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float32) - b) ** 2)))


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return scene()


@pytest.fixture(scope="module")
def marked(clip: np.ndarray) -> np.ndarray:
    return watermark.mark(clip, NAMES[-1])


@pytest.mark.parametrize("name", NAMES)
def test_every_number_comes_back(clip: np.ndarray, name: int):
    before = clip.copy()
    found = watermark.find(watermark.mark(clip, name))
    assert found is not None and found.id == name and 0.8 < found.fit <= 1
    assert (clip == before).all()


def test_a_long_clip_is_read_from_its_beginning():
    long = watermark.mark(scene(frames=watermark.LONGEST + 60), NAMES[-1])
    seen = iter(long)
    assert watermark.find(seen) == watermark.find(long) == watermark.find(long[: watermark.LONGEST + 9])
    assert watermark.find(long).id == NAMES[-1] and len(list(seen)) == 60  # no more were asked for


def test_luma_is_marked_as_pixels_are():
    planes = Planes(scene(height=36, width=64), 216, 384)
    before = planes.pixels(range(FRAMES))
    marker = watermark.Marker(planes.mean(FRAMES), before[watermark.looked_at(*planes.shape)], NAMES[-1])
    for number in range(FRAMES):
        marker.put(planes.luma(number), RANGE)
    after = planes.pixels(range(FRAMES))
    assert decibels(after, before) >= 38
    assert watermark.find(coded(after)).id == NAMES[-1]


def test_the_same_clip_and_number_give_the_same_frames(clip: np.ndarray, marked: np.ndarray):
    assert (watermark.mark(clip, NAMES[-1]) == marked).all()


@pytest.mark.parametrize("size", [(128, 176), (176, 128), (240, 320)])
def test_a_small_cut_and_coded_copy_still_tells(size: tuple[int, int]):
    height, width = size
    marked = watermark.mark(scene(height=height, width=width), NAMES[-1])
    top, left = round(0.07 * height), round(0.02 * width)
    cut = marked[:, top : top + round(0.9 * height), left : left + round(0.9 * width)]
    small = resize(cut, height * 27 // 40 // 2 * 2, width * 27 // 40 // 2 * 2)
    found = watermark.find(coded(small))
    assert found is not None and found.id == NAMES[-1] and 0 < found.fit < 1


@pytest.mark.parametrize("grey", [0, 255])
def test_a_clip_without_room_is_marked_too(grey: int):
    flat = np.full((FRAMES, HEIGHT, WIDTH, 3), grey, np.uint8)
    marked = watermark.mark(flat, NAMES[-1])
    assert decibels(marked, flat) >= 38
    found = watermark.find(coded(marked))
    assert found is not None and found.id == NAMES[-1]


def test_what_is_not_marked_or_marked_for_another_says_nothing(clip: np.ndarray, marked: np.ndarray):
    assert watermark.find(clip) is None
    assert watermark.find(np.zeros_like(clip)) is None
    assert watermark.find(marked, key=7) is None
    assert watermark.find(marked[:, ::-1]) is None


@pytest.mark.parametrize("size", [(128, 128), (128, 226), (256, 256)])
def test_marked_clips_are_38_decibels_from_unmarked_ones(size: tuple[int, int]):
    for seed in range(3):
        clip = scene(height=size[0], width=size[1], seed=seed)
        assert decibels(watermark.mark(clip, seed), clip) >= 38


def test_nothing_flickers(clip: np.ndarray, marked: np.ndarray):
    """The same is added to every frame, but where pixels end."""
    added = marked.astype(int) - clip
    inside = (clip.min(0) > 20) & (clip.max(0) < 235)
    assert inside.mean() > 0.3
    assert (added.min(0) == added.max(0))[inside].all()


def test_large_clips_are_marked_more_faintly():
    small, large = scene(height=128, width=128), scene(height=256, width=256)
    assert decibels(watermark.mark(large, 5), large) > decibels(watermark.mark(small, 5), small) + 1.5


def test_fits_says_what_mark_takes(clip: np.ndarray):
    assert watermark.fits(16, 128, 128)
    for frames, height, width in ((15, 128, 128), (16, 127, 300), (16, 300, 127)):
        assert not watermark.fits(frames, height, width)
        with pytest.raises(UserError, match=f"{frames} frames of {height}x{width} .*16 frames or more .*128 pixels"):
            watermark.mark(np.zeros((frames, height, width, 3), np.uint8), 1)
    for name in (-1, 2**48):
        with pytest.raises(UserError, match=f"{name} cannot be a watermark; give a whole number from 0 to"):
            watermark.mark(clip, name)


@pytest.mark.skipif(not OPEN.exists(), reason="needs ../shared/clips/open")
@pytest.mark.parametrize("name", ["cups_game.mp4", "gopro_karma.mp4", "hdr10_av1_vertical.mp4"])
def test_real_clips_keep_their_mark(name: str):
    clip, _ = read(OPEN / name, frames=40, **{"width" if "vertical" in name else "height": 128})
    clip = clip[:, : clip.shape[1] // 2 * 2, : clip.shape[2] // 2 * 2]
    marked = watermark.mark(clip, NAMES[-1])
    assert decibels(marked, clip) >= 38
    found = watermark.find(coded(marked))
    assert found is not None and found.id == NAMES[-1]
