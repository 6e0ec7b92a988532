"""Random clips from shards are the frames that a reader of the whole file sees."""

from pathlib import Path

import av
import numpy as np
import pytest

from tests import builders
from worldpatch.config import UserError
from worldpatch.data import manifest, shards
from worldpatch.data.loader import ahead
from worldpatch.data.pixels import VideoSet, decode
from worldpatch.video import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = builders.films(tmp_path_factory.mktemp("films"))
    manifest.write(found)
    return found


def test_every_span_equals_the_whole_file(folder: Path, tmp_path: Path):
    content = dict(shards.read(folder))["film-3"]["mp4"]
    (tmp_path / "film.mp4").write_bytes(content)
    whole, rate = read.read(tmp_path / "film.mp4")
    assert len(whole) == 40 and rate == 24
    for start in (0, 1, 11, 12, 13, 23, 24):
        off = decode(content, start, 16).astype(int) - whole[start : start + 16]
        assert abs(off).max() <= 2 and abs(off.mean()) < 0.1  # another frame is off by tens


def test_clips_of_foreign_colours_are_read_as_whole_files_are(tmp_path: Path):
    frames = builders.film_frames(1, 20, (48, 64))
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv444p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    whole, _ = read.read(tmp_path / "film.mp4")
    np.testing.assert_array_equal(decode((tmp_path / "film.mp4").read_bytes(), 7, 9), whole[7:16])


def test_clip_n_is_a_pure_function_whatever_the_workers(folder: Path):
    alone, other = VideoSet([folder], frames=6, seed=1), VideoSet([folder], frames=6, seed=1)
    for number, span in enumerate(ahead(alone.clip, range(23), workers=3)):
        same = other.clip(number)
        assert (span.key, span.start, span.rate) == (same.key, same.start, 24.0)
        np.testing.assert_array_equal(span.frames, same.frames)
        film = int(span.key[-1])
        truth = builders.film_frames(film, 40, (48, 64))[span.start : span.start + 6]
        assert np.abs(span.frames[:, 8:-8, 8:20].astype(int) - truth[:, 8:-8, 8:20]).max() < 8
        assert np.abs(span.frames[:, 8:-8, 40:56].mean((1, 2, 3)) - truth[:, 8, 40, 0]).max() < 2.5


def test_every_video_gives_one_clip_per_epoch(folder: Path):
    found = VideoSet([folder], frames=4)
    for epoch in range(3):
        assert len({found.clip(5 * epoch + i).key for i in range(5)}) == 5
    assert len({found.clip(i).start for i in range(15)}) > 5


def test_what_cannot_be_used_is_counted(folder: Path, tmp_path: Path):
    builders.films(tmp_path, 2, frames=8)
    builders.data_set(tmp_path, [(1, 2, 2)])
    found = VideoSet([folder, tmp_path], frames=16)
    assert len(found) == 5 and found.report.unused == {
        "shorter than 16 frames": ("film-0", "film-1"), "without a video": ("clip-0000",),
    }  # fmt: skip
    with pytest.raises(UserError, match="5 clips in, 0 used; 5 shorter than 41 frames"):
        VideoSet([folder], frames=41)


def test_a_damaged_video_is_named(tmp_path: Path):
    (_, members), *_ = shards.read(builders.films(tmp_path / "good", 1))
    for name, content in {"noise": b"?" * 500, "short": members["mp4"][: len(members["mp4"]) // 2]}.items():
        writer = shards.Writer(tmp_path / name)
        writer.write("film", members | {"mp4": content})
        writer.flush()
        with pytest.raises(UserError, match=r"shard-000000.tar: film.mp4 cannot be decoded"):
            found = VideoSet([tmp_path / name], frames=16)
            found.read(*found.sources[0], 24)
