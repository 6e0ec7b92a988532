"""Files and frames: there and back, what is inside, what goes wrong."""

import csv
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from worldpatch.config import UserError
from worldpatch.video import read, sheet, write
from worldpatch.video.planes import Planes
from worldpatch.video.resize import fit, resize

COLOURS = ((220, 40, 40), (40, 90, 220), (40, 170, 70), (240, 200, 40))
RECIPE = {"prompt": "a réd ball — 球 falls", "seed": 7, "params": {"seconds": 2.0}, "long": list(range(3000))}
SUFFIXES = (".mp4", ".gif", ".webp", ".png")


def falling_discs(frames: int = 25, height: int = 96, width: int = 128) -> np.ndarray:
    """Four coloured discs that fall over light grey, `frames` frames."""
    y, x = np.mgrid[:height, :width]
    clip = np.full((frames, height, width, 3), (200, 200, 190), np.uint8)
    for t, frame in enumerate(clip):
        for k, colour in enumerate(COLOURS):
            frame[(x - 20 - 28 * k) ** 2 + (y - 14 - 2 * t) ** 2 < 100] = colour
    return clip


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2 + 1e-9)))


# ------------------------------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_a_clip_comes_back(tmp_path: Path, suffix: str):
    clip = falling_discs()
    path = tmp_path / f"clip{suffix}"
    write.write(path, clip, 12.0)
    frames, rate = read.read(path)
    info = read.probe(path)
    assert frames.shape == clip.shape
    assert rate == pytest.approx(12, rel=0.005)  # GIF counts in hundredths of a second
    assert (info.frames, info.height, info.width, info.rate) == (25, 96, 128, rate)
    assert psnr(frames, clip) > 31
    for k, colour in enumerate(COLOURS):  # at its centre each disc keeps its colour
        assert np.abs(frames[12, 38, 20 + 28 * k].astype(int) - colour).max() <= 5


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_frame_is_a_picture(tmp_path: Path, suffix: str):
    path = tmp_path / f"picture{suffix}"
    write.write(path, falling_discs(1), 8.0)
    frames, _ = read.read(path)
    assert frames.shape == (1, 96, 128, 3)
    assert psnr(frames, falling_discs(1)) > 31


def test_png_is_lossless_and_shows_a_clip_as_a_strip(tmp_path: Path):
    clip = falling_discs()
    write.write(tmp_path / "one.png", clip[:1], 8.0)
    write.write(tmp_path / "clip.png", clip, 8.0)
    assert np.array_equal(read.read(tmp_path / "one.png")[0], clip[:1])
    strip = read.read(tmp_path / "clip.png")[0][0]
    assert np.array_equal(strip[:, :128], clip[0]) and np.array_equal(strip[:, -128:], clip[-1])


def test_mp4_grows_an_odd_side_by_one_repeated_pixel(tmp_path: Path):
    write.write(tmp_path / "odd.mp4", falling_discs(3, 95, 127), 8.0)
    frames, _ = read.read(tmp_path / "odd.mp4")
    assert frames.shape == (3, 96, 128, 3)
    assert psnr(frames[:, :95, :127], falling_discs(3, 95, 127)) > 31


def test_a_clip_at_rest_keeps_its_frames(tmp_path: Path):
    """GIF and WebP merge equal frames into one long picture; reading unfolds it."""
    clip = falling_discs()
    pausing = np.concatenate([clip[:5], np.repeat(clip[5:6], 14, axis=0), clip[6:12]])
    for suffix in (".gif", ".webp", ".mp4"):
        write.write(tmp_path / f"rest{suffix}", pausing, 12.0)
        assert read.read(tmp_path / f"rest{suffix}")[0].shape == pausing.shape


def test_chunks_make_the_same_file_and_the_file_is_repeatable(tmp_path: Path):
    clip = falling_discs()
    for suffix in SUFFIXES:
        whole, chunked = tmp_path / f"whole{suffix}", tmp_path / f"chunked{suffix}"
        write.write(whole, clip, 12.0, RECIPE)
        write.write(chunked, iter([clip[:1], clip[1:9], clip[9:]]), 12.0, RECIPE)
        assert whole.read_bytes() == chunked.read_bytes()


def test_a_narrow_file_is_repeatable(tmp_path: Path):
    """Under 128 pixels x264 has read what lay behind a frame, different each time."""
    grain = np.random.default_rng(0).integers(-3, 4, (25, 64, 64, 3))
    clip = np.clip(falling_discs(25, 64, 64) + grain, 0, 255).astype(np.uint8)
    path, seen = tmp_path / "narrow.mp4", set()
    for _ in range(8):
        write.write(path, clip, 8.0)
        seen.add(path.read_bytes())
    assert len(seen) == 1


def test_mp4_starts_to_play_while_it_loads(tmp_path: Path):
    write.write(tmp_path / "clip.mp4", falling_discs(), 12.0)
    data = (tmp_path / "clip.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("size", [(192, 256), (64, 64), (96, 160), (16, 24)])
def test_planes_are_the_pixels_scaled(size: tuple[int, int]):
    frames = falling_discs(5, 64, 64)
    planes = Planes(frames, *size)
    assert planes.shape == (5, *size) and all((p.height, p.width) == size for p in planes)
    luma, seen = np.array([0.2126, 0.7152, 0.0722]), planes.pixels(range(5))
    assert psnr(seen @ luma, fit(frames, *size) @ luma) > 50
    assert np.abs((planes.mean(3) - seen[:3].mean(0)) @ luma).mean() < 0.3
    if min(size) > 128:  # smaller ones share a chroma among pixels that differ
        assert psnr(seen, fit(frames, *size)) > 45
    before = planes.luma(2).copy()
    planes.luma(2)[:] = before // 2 + 8
    assert planes.pixels([2]).mean() < 0.6 * planes.pixels([1]).mean()


def test_pieces_in_a_row_are_the_file(tmp_path: Path):
    frames, parts = falling_discs(20), []
    planes = Planes(frames, *frames.shape[1:3])
    write.write_parts(planes, frames.shape[1:3], 8.0, parts.append, seconds=0.5)
    write.join_parts(b"".join(parts), tmp_path / "whole.mp4", {"a": 1})
    (tmp_path / "row.mp4").write_bytes(b"".join(parts))
    assert len(parts) == 1 + 5  # what the stream is, then half a second each
    whole, rate = read.read(tmp_path / "whole.mp4")
    assert rate == 8 and psnr(whole, frames) > 30 and write.read_metadata(tmp_path / "whole.mp4") == {"a": 1}
    assert np.array_equal(read.read(tmp_path / "row.mp4")[0], whole)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_recipe_is_inside(tmp_path: Path, suffix: str):
    for frames in (1, 5):
        path = tmp_path / f"{frames}{suffix}"
        write.write(path, falling_discs(frames), 8.0, RECIPE)
        assert write.read_metadata(path) == RECIPE
    write.write(tmp_path / f"bare{suffix}", falling_discs(1), 8.0)
    assert write.read_metadata(tmp_path / f"bare{suffix}") is None


def test_a_foreign_comment_is_no_recipe(tmp_path: Path):
    Image.new("P", (8, 8)).save(tmp_path / "a.gif", comment=b"made with love")
    Image.new("P", (8, 8)).save(tmp_path / "b.gif", comment=b"[1, 2]")
    assert write.read_metadata(tmp_path / "a.gif") is None
    assert write.read_metadata(tmp_path / "b.gif") is None


def test_reading_a_part_and_scaling(tmp_path: Path):
    clip = falling_discs()
    write.write(tmp_path / "clip.mp4", clip, 12.0)
    part, _ = read.read(tmp_path / "clip.mp4", start=4, frames=6)
    assert part.shape[0] == 6 and psnr(part, clip[4:10]) > 31
    assert read.read(tmp_path / "clip.mp4", height=48)[0].shape == (25, 48, 64, 3)
    assert read.read(tmp_path / "clip.mp4", width=32)[0].shape == (25, 24, 32, 3)
    assert read.read(tmp_path / "clip.mp4", frames=2, height=64, width=64)[0].shape == (2, 64, 64, 3)
    with pytest.raises(UserError, match="no frame 25"):
        read.read(tmp_path / "clip.mp4", start=25)


@pytest.mark.parametrize(
    "times, shown",
    [
        ([0.0, 0.1, 0.2, 0.3], [0, 1, 2, 3]),  # steady: unchanged
        ([5.0, 5.099, 5.201, 5.3], [0, 1, 2, 3]),  # a late start and a coarse clock do not matter
        ([0.0, 0.1, 0.4, 0.5], [0, 1, 1, 1, 2, 3]),  # a gap is held
        ([0.0, 0.1, 0.11, 0.2], [0, 2, 3]),  # of two frames for one moment the later is shown
        ([0.0, 0.1, 900.0, 900.1], [0, 1, 2, 3]),  # a break in the clock is not a picture of a quarter of an hour
        ([0.3, 0.4, 0.0, 0.1], [0, 1, 2, 3]),  # nor does a clock that starts again lose frames
        ([None, None, None, None], [0, 1, 2, 3]),
    ],
)
def test_uneven_timing_becomes_steady(times: list[float | None], shown: list[int]):
    frames = [SimpleNamespace(time=time, index=index) for index, time in enumerate(times)]
    assert [frame.index for frame in read._steady(frames, 10.0)] == shown


def test_pictures_are_turned_and_laid_over_white(tmp_path: Path):
    picture = Image.fromarray(falling_discs(1)[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise to view
    picture.save(tmp_path / "turned.png", exif=exif)
    frames, _ = read.read(tmp_path / "turned.png")
    info = read.probe(tmp_path / "turned.png")
    assert np.array_equal(frames[0], np.rot90(np.asarray(picture), -1))
    assert (info.height, info.width) == (128, 96)

    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "glass.png")
    assert np.abs(read.read(tmp_path / "glass.png")[0][0, 0, 0].astype(int) - (255, 127, 127)).max() <= 1
    Image.fromarray(np.full((8, 8), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    assert (read.read(tmp_path / "deep.png")[0] == 0x80).all()


# -------------------------------------------------------------------------------------------------- real files


def test_real_files_read_or_say_why_not(clips_open: Path):
    """Every row of the manifest: as many frames as it lists (of long ones the first 6), or one line that names it."""
    for row in csv.DictReader((clips_open / "MANIFEST.csv").open()):
        path, listed = clips_open / row["file"], int(row["frames"] or 0)
        if not listed or row["file"] == "img_truncated.jpg":
            with pytest.raises(UserError, match=row["file"]):
                read.read(path)
            continue
        small = listed * int(row["width"]) * int(row["height"]) < 2e6
        frames, _ = read.read(path, frames=None if small else 6, height=16, width=16)
        assert len(frames) == (listed if small else min(6, listed)), row["file"]


def test_real_files_stand_upright(clips_open: Path):
    assert read.read(clips_open / "rot90_keyboard.mov")[0].shape[1:3] == (568, 320)
    upright, _ = read.read(clips_open / "img_landscape_o1.jpg", height=60)
    turned, _ = read.read(clips_open / "img_landscape_o6.jpg", height=60)
    assert upright.shape == turned.shape and psnr(upright, turned) > 25


# -------------------------------------------------------------------------------------------------- what goes wrong


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 8000 bytes, which fails a write in the middle as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, small_disk: None, suffix: str):
    noise = np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"clip{suffix}"
    with pytest.raises(UserError, match=f"cannot write .*clip{suffix}: File too large"):
        write.write(path, noise, 8.0)
    assert os.listdir(tmp_path) == []


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    write.write(path, falling_discs(3), 8.0)
    before = path.read_bytes()

    def interrupted() -> Iterator[np.ndarray]:
        yield falling_discs(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write.write(path, interrupted(), 8.0)
    assert os.listdir(tmp_path) == ["clip.mp4"] and path.read_bytes() == before


def test_bad_places_and_rates_are_refused(tmp_path: Path):
    clip = falling_discs(1)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"unknown suffix '.mp3'; use one of .mp4, .gif"):
        write.write(tmp_path / "clip.mp3", clip, 8.0)
    with pytest.raises(UserError, match="a folder of that name"):
        write.check(tmp_path / "folder.mp4")
    with pytest.raises(UserError, match="cannot write"):
        write.check(tmp_path / "file" / "clip.mp4")
    with pytest.raises(UserError, match="rate of 0"):
        write.write(tmp_path / "clip.mp4", clip, 0.0)


def test_bad_files_are_named(tmp_path: Path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "text.png").write_text("not a picture")
    for name, reason in {
        "missing.mp4": "No such file",
        "empty.mp4": "0 bytes",
        "text.mp4": "not a video or picture",
        "text.png": "no picture",
        ".": "is a folder",
    }.items():
        for ask in (read.read, read.probe, write.read_metadata):
            with pytest.raises(UserError, match=reason):
                ask(tmp_path / name)


# -------------------------------------------------------------------------------------------------- resizing and sheets


def test_shrinking_does_not_alias():
    """A one-pixel checkerboard has no detail left at half size: it must turn grey, not black or white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    frames = np.broadcast_to(board[None, :, :, None], (2, 64, 64, 3)).copy()
    assert np.abs(resize(frames, 32, 32).astype(int) - 127)[:, 2:-2, 2:-2].max() < 8


@pytest.mark.parametrize("size", [(48, 48), (40, 90), (33, 77)])
def test_fit_keeps_discs_round(size: tuple[int, int]):
    clip = np.full((1, 64, 96, 3), 255, np.uint8)
    y, x = np.mgrid[:64, :96]
    clip[0][(x - 48) ** 2 + (y - 32) ** 2 < 256] = (255, 0, 0)
    for rule in ("crop", "pad"):
        fitted = fit(clip, *size, rule)
        assert fitted.shape == (1, *size, 3)
        red = (fitted[0, :, :, 0] > 128) & (fitted[0, :, :, 1] < 128)
        assert abs(int(red.any(0).sum()) - int(red.any(1).sum())) <= 2


def test_contact_sheet_holds_every_strip(tmp_path: Path):
    clips = [falling_discs(9), falling_discs(1, 64, 64), falling_discs(3, 32, 64)]
    captions = ["a red ball falls " * 20, "one frame\nand a second line", ""]
    sheet.contact_sheet(clips, captions, tmp_path / "sheet.png", columns=2, frames_per_clip=4, scale=1)
    pixels = read.read(tmp_path / "sheet.png")[0][0]
    strips = [sheet.filmstrip(clip, 4) for clip in clips]
    width = max(sheet.NARROWEST, *(strip.shape[1] for strip in strips))
    assert pixels.shape[1] == sheet.MARGIN + 2 * (width + sheet.MARGIN)
    first = pixels[sheet.MARGIN :, sheet.MARGIN :][: strips[0].shape[0], : strips[0].shape[1]]
    second = pixels[sheet.MARGIN :, 2 * sheet.MARGIN + width :][: strips[1].shape[0], : strips[1].shape[1]]
    assert np.array_equal(first, strips[0]) and np.array_equal(second, strips[1])


def test_filmstrip_shows_first_and_last_and_repeats_pixels():
    clip = falling_discs(10, 16, 16)
    strip = sheet.filmstrip(clip, 4, scale=2)
    assert strip.shape == (32, 4 * 32 + 3 * sheet.GAP, 3)
    assert np.array_equal(strip[::2, :32:2], clip[0]) and np.array_equal(strip[::2, -32::2], clip[-1])
    assert sheet.filmstrip(clip[:1], 4).shape == (16, 16, 3)
