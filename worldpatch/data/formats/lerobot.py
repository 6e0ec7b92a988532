"""LeRobot v3: episodes of a robot or a game, with actions. As huggingface/lerobot 0.4.4 lays out version v3.0.

    OUT/meta/info.json                                  rate, shapes, paths
    OUT/meta/tasks.parquet                              task -> task_index
    OUT/meta/stats.json                                 count, mean, std, min, max of actions and states
    OUT/meta/episodes/chunk-000/file-000.parquet        a row per episode: where its frames and its span of film are
    OUT/data/chunk-000/file-000.parquet                 a row per frame: action, observation.state, timestamp, ...
    OUT/videos/observation.images.main/chunk-000/file-000.mp4      episodes one after another

A clip is an episode, its caption the task. Pictures are copied, not encoded again, in both directions; all else that a
clip has stands in its episode's column `worldpatch`, so there and back loses nothing. Clips of one set must agree in
rate and size, for the format has one of each.
"""

import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from worldpatch.config import UserError
from worldpatch.data.formats import _folders
from worldpatch.data.formats._folders import Progress
from worldpatch.data.loader import Report
from worldpatch.data.manifest import Manifest, Row, import_pyarrow

VERSION = "v3.0"
CAMERA = "observation.images.main"
CHUNK, DATA_MB, VIDEO_MB = 1000, 100, 200  # files per folder, and about how large they may be
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
ARRAYS = {"action": ("actions.npz", "action"), "observation.state": ("states.npz", "state")}  # feature -> member, array
INDICES = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


# --------------------------------------------------------------------------------------------------------------- export


@dataclass
class _Film:
    """Episodes one after another in files of about VIDEO_MB, their packets copied."""

    out: Path
    number: int = -1
    container: Any = None  # the file being written
    stream: Any = None
    end: Fraction = field(default_factory=Fraction)  # of the last episode, in seconds
    size: int = 0
    header: bytes | None = None

    def add(self, content: bytes, frames: int, rate: Fraction) -> dict[str, Any]:
        """Where the episode now lies, as columns of meta/episodes."""
        with av.open(io.BytesIO(content), "r") as source:
            stream = source.streams.video[0]
            # One file has one set of decoding parameters: where they differ, another begins.
            if self.container is None or self.size + len(content) > VIDEO_MB << 20 or self._differs(stream):
                self._begin(stream)
            assert stream.time_base and self.container
            shift = round(self.end / stream.time_base) - (stream.start_time or 0)
            for packet in source.demux(stream):
                if packet.dts is not None and packet.pts is not None:
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, self.stream
                    self.container.mux(packet)
        begun, self.end, self.size = self.end, self.end + frames / rate, self.size + len(content)
        chunk, file = divmod(self.number, CHUNK)
        return {
            f"videos/{CAMERA}/chunk_index": chunk, f"videos/{CAMERA}/file_index": file,
            f"videos/{CAMERA}/from_timestamp": float(begun), f"videos/{CAMERA}/to_timestamp": float(self.end),
        }  # fmt: skip

    def _differs(self, stream: Any) -> bool:
        return stream.codec_context.extradata != self.header

    def _begin(self, stream: Any) -> None:
        self.close()
        self.number, self.end, self.size = self.number + 1, Fraction(0), 0
        chunk, file = divmod(self.number, CHUNK)
        path = self.out / VIDEO.format(video_key=CAMERA, chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.container = av.open(str(path), "w", options={"movflags": "faststart"})
        self.stream = self.container.add_stream_from_template(stream, opaque=True)
        self.stream.time_base, self.header = stream.time_base, stream.codec_context.extradata

    def close(self) -> None:
        if self.container is not None:
            self.container.close()


def write(folder: Path, out: Path, *, caption: str = "", progress: Progress | None = None) -> Report:
    """A set as a LeRobot dataset; `caption` is the kind that becomes the task.

    Raises UserError where no clip has a video, where clips differ in size, rate or the width of their actions, where
    only some have actions, and where `out` is there already.
    """
    import_pyarrow()
    found, rows, report = _folders.videos(folder)
    features = _features(found, rows)
    rate = Fraction(rows[0].fps or 1).limit_denominator(1001)
    tasks = {text: i for i, text in enumerate(dict.fromkeys(_folders.caption(row, caption) for row in rows))}
    with _folders.draft(out) as draft:
        film, episodes, frames, arrays = _Film(draft), [], [], {name: [] for name in ARRAYS if name in features}
        for number, row in enumerate(rows):
            task, count = _folders.caption(row, caption), row.num_frames or 0
            first = episodes[-1]["dataset_to_index"] if episodes else 0
            values = {name: _array(found, row, name) for name in arrays}
            for name, value in values.items():
                arrays[name].append(value)
            frames.append(_frames(number, first, count, float(rate), tasks[task], values))
            episodes.append({
                "episode_index": number, "tasks": [task], "length": count,
                "data/chunk_index": 0, "data/file_index": 0,
                "dataset_from_index": first, "dataset_to_index": first + count,
                **film.add(found.fetch(row, "mp4"), count, rate),
                "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0,
                "worldpatch": _whole(found, row),
            })  # fmt: skip
            if progress:
                progress(number + 1, len(rows))
        film.close()
        _write_tables(draft, episodes, frames, features, tasks)
        _write_json(draft / "meta/stats.json", {name: _stats(np.concatenate(a)) for name, a in arrays.items()})
        _write_json(draft / "meta/info.json", _info(episodes, tasks, rate, features))
    return report


def _features(found: Manifest, rows: list[Row]) -> dict[str, Any]:
    """Of actions, states and frames, which must be alike in all clips."""
    for what in ("fps", "width", "height"):
        values = sorted({getattr(row, what) for row in rows})
        if len(values) > 1:
            raise UserError(
                f"{found.folder}: clips differ in {what} ({', '.join(map(str, values[:5]))}), and LeRobot knows one: "
                "export sets of one size and rate"
            )
    features: dict[str, Any] = {}
    for name, (suffix, _) in ARRAYS.items():
        having = [row for row in rows if row.member(suffix)]
        if having and len(having) < len(rows):
            raise UserError(f"{found.folder}: only {len(having)} of {len(rows)} clips have .{suffix}: all or none must")
        if having:
            widths = {_array(found, row, name).shape[1] for row in rows}
            if len(widths) > 1:
                raise UserError(f"{found.folder}: .{suffix} has {sorted(widths)} columns: it must be one number")
            features[name] = {"dtype": "float32", "shape": [widths.pop()], "names": None}
    first = rows[0]
    features[CAMERA] = {
        "dtype": "video", "shape": [first.height, first.width, 3], "names": ["height", "width", "channels"],
        "info": {
            "video.height": first.height, "video.width": first.width, "video.codec": first.codec or "h264",
            "video.pix_fmt": first.pix_fmt or "yuv420p", "video.is_depth_map": False,
            "video.fps": round(first.fps or 1), "video.channels": 3, "has_audio": False,
        },
    }  # fmt: skip
    return {**features, **{name: {"dtype": kind, "shape": [1], "names": None} for name, kind in INDICES.items()}}


def _array(found: Manifest, row: Row, feature: str) -> np.ndarray:
    """Actions or states of a clip, "t a" in single precision."""
    suffix, name = ARRAYS[feature]
    try:
        array = np.load(io.BytesIO(found.fetch(row, suffix)))[name].astype(np.float32)
    except (KeyError, ValueError, OSError) as error:
        raise UserError(f"clip {row.clip_id}: .{suffix} holds no array {name!r} ({error})") from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or len(array) != row.num_frames:
        raise UserError(
            f"clip {row.clip_id}: {name} of shape {array.shape} must have a row for each of {row.num_frames} frames"
        )
    return array


def _frames(number: int, first: int, count: int, rate: float, task: int, values: dict[str, np.ndarray]) -> Any:
    import pyarrow as pa

    index = np.arange(count)
    columns: dict[str, Any] = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
        for name, array in values.items()
    }
    return pa.table({
        **columns, "timestamp": pa.array((index / rate).astype(np.float32)), "frame_index": pa.array(index),
        "episode_index": pa.array(np.full(count, number)), "index": pa.array(first + index),
        "task_index": pa.array(np.full(count, task)),
    })  # fmt: skip


def _whole(found: Manifest, row: Row) -> dict[str, Any]:
    """All of a clip but its frames, so that nothing is lost for which the format has no place."""
    members = [{"suffix": m.suffix, "content": found.fetch(row, m.suffix)} for m in row.members if m.suffix != "mp4"]
    return {"key": row.clip_id, "order": [m.suffix for m in row.members], "members": members}


def _write_tables(out: Path, episodes: list[Any], frames: list[Any], features: Any, tasks: dict[str, int]) -> None:
    """Frames in files of about DATA_MB, then episodes and tasks."""
    import pyarrow as pa
    from pyarrow import parquet

    begun = size = file = 0
    for number, table in enumerate(frames, 1):
        episode = episodes[number - 1]
        episode["data/chunk_index"], episode["data/file_index"] = divmod(file, CHUNK)
        size += table.nbytes
        if size > DATA_MB << 20 or number == len(frames):
            chunk, place = divmod(file, CHUNK)
            path = out / DATA.format(chunk_index=chunk, file_index=place)
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(pa.concat_tables(frames[begun:number]), path)
            begun, size, file = number, 0, file + 1
    path = out / EPISODES.format(chunk_index=0, file_index=0)
    path.parent.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(episodes), path)
    # LeRobot reads these with pandas and looks a task up in the index, whose column Arrow names so.
    level = "__index_level_0__"
    about = [
        {"name": name, "field_name": column, "pandas_type": kind, "numpy_type": array, "metadata": None}
        for name, column, kind, array in (
            ("task_index", "task_index", "int64", "int64"), (None, level, "unicode", "object"),
        )
    ]  # fmt: skip
    index = {"index_columns": [level], "column_indexes": [], "columns": about, "pandas_version": "2.0.0"}
    table = pa.table({"task_index": list(tasks.values()), level: list(tasks)})
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(index)}), out / "meta/tasks.parquet")


def _stats(values: np.ndarray) -> dict[str, list[float]]:
    figures = {name: getattr(values, name)(0).tolist() for name in ("min", "max", "mean", "std")}
    return {**figures, "count": [len(values)]}


def _info(episodes: list[Any], tasks: dict[str, int], rate: Fraction, features: dict[str, Any]) -> dict[str, Any]:
    return {
        "codebase_version": VERSION, "robot_type": None, "total_episodes": len(episodes),
        "total_frames": episodes[-1]["dataset_to_index"], "total_tasks": len(tasks), "chunks_size": CHUNK,
        "data_files_size_in_mb": DATA_MB, "video_files_size_in_mb": VIDEO_MB,
        "fps": int(rate) if rate.denominator == 1 else float(rate), "splits": {"train": f"0:{len(episodes)}"},
        "data_path": DATA, "video_path": VIDEO, "features": features,
    }  # fmt: skip


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


# --------------------------------------------------------------------------------------------------------------- import


def read(source: Path, out: Path, *, licence: str = "", progress: Progress | None = None) -> Report:
    """A LeRobot v3.0 dataset as a set: a clip per episode and camera, with actions and states.

    Pictures stay in their codec (many datasets use AV1). Raises UserError on another version, missing or damaged files,
    and an episode that does not begin with a keyframe.
    """
    import_pyarrow()
    info = _read_info(source)
    cameras = [name for name, feature in info["features"].items() if feature["dtype"] == "video"]
    if not cameras:
        raise UserError(f"{source} has no videos, only {', '.join(info['features'])}: there is nothing to import")
    episodes = _rows(source, "meta/episodes")
    total = len(episodes) * len(cameras)

    def clips() -> Iterator[tuple[str, dict[str, bytes]]]:
        done, data = 0, ("", {})
        for episode in sorted(episodes, key=lambda e: e["episode_index"]):
            path = info["data_path"].format(
                chunk_index=episode["data/chunk_index"], file_index=episode["data/file_index"]
            )
            if path != data[0]:
                data = path, _frames_of(source / path, info)
            arrays = data[1].get(episode["episode_index"], {})
            for camera in cameras:
                yield _clip(source, info, episode, camera, arrays, licence, len(cameras) > 1)
                done += 1
                if progress:
                    progress(done, total)

    with _folders.draft(out) as draft:
        _folders.store(clips(), draft)
    return Report(clips=total, unused={})


def _read_info(source: Path) -> dict[str, Any]:
    path = source / "meta/info.json"
    try:
        info = json.loads(path.read_text())
        version = info["codebase_version"]
    except OSError as error:
        raise UserError(f"{source} is no LeRobot dataset: it holds no meta/info.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error})") from error
    if not str(version).startswith("v3."):
        raise UserError(
            f"{source} is of LeRobot's {version}, this reads {VERSION}: convert it with LeRobot's own script"
        )
    return info


def _rows(source: Path, folder: str) -> list[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    paths = sorted((source / folder).glob("*/*.parquet"))
    if not paths:
        raise UserError(f"{source} holds no {folder}/*/*.parquet: fetch the whole dataset")
    try:
        tables = [parquet.read_table(path) for path in paths]
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{source}/{folder} is damaged ({error})") from error
    return [row for table in tables for row in table.to_pylist()]


def _frames_of(path: Path, info: dict[str, Any]) -> dict[int, dict[str, np.ndarray]]:
    """Actions and states of the episodes in a file of frames."""
    import pyarrow as pa
    from pyarrow import parquet

    wanted = [name for name in ARRAYS if name in info["features"]]
    try:
        table = parquet.read_table(path, columns=["episode_index", *wanted])
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch the whole dataset") from error
    episode = table["episode_index"].to_numpy()
    arrays = {name: np.asarray(table[name].to_pylist(), np.float32) for name in wanted}
    return {int(e): {name: array[episode == e] for name, array in arrays.items()} for e in np.unique(episode)}


def _clip(
    source: Path, info: dict[str, Any], episode: dict[str, Any], camera: str, arrays: dict[str, np.ndarray],
    licence: str, several: bool,
) -> tuple[str, dict[str, bytes]]:  # fmt: skip
    where = {key: episode[f"videos/{camera}/{key}"] for key in ("chunk_index", "file_index")}
    path = source / info["video_path"].format(video_key=camera, **where)
    span = (episode[f"videos/{camera}/from_timestamp"], episode[f"videos/{camera}/to_timestamp"])
    video = _cut(path, *span, f"episode {episode['episode_index']}")
    if episode.get("worldpatch"):
        whole = episode["worldpatch"]
        members = {"mp4": video} | {member["suffix"]: member["content"] for member in whole["members"]}
        return whole["key"], {suffix: members[suffix] for suffix in whole["order"]}
    name = f"episode-{episode['episode_index']:06d}" + (f"-{camera.split('.')[-1]}" if several else "")
    texts = episode.get("tasks") or []
    record = {
        "captions": {"original" if i == 0 else f"original-{i}": text for i, text in enumerate(texts)},
        **_folders.describe(video), "seed": None, "source": f"{source.name}/{path.relative_to(source)}",
        "licence": licence, "start_s": span[0], "end_s": span[1], "parent": source.name,
    }  # fmt: skip
    members = {"json": _folders.as_json(record), "mp4": video}
    for feature, (suffix, array) in ARRAYS.items():
        if feature in arrays:
            file = io.BytesIO()
            np.savez(file, allow_pickle=False, **{array: arrays[feature]})
            members[suffix] = file.getvalue()
    return name, members


def _cut(path: Path, start: float, end: float, what: str) -> bytes:
    """A span of a film as a file of its own, its packets copied."""
    try:
        with av.open(str(path), "r") as source, tempfile.TemporaryDirectory() as folder:
            stream = source.streams.video[0]
            assert stream.time_base
            first, last = (round(Fraction(s).limit_denominator(10**6) / stream.time_base) for s in (start, end))
            half = round(1 / (2 * (stream.average_rate or 30) * stream.time_base))
            source.seek(first, stream=stream)
            cut = Path(folder) / "cut.mp4"
            with av.open(str(cut), "w", options={"movflags": "faststart"}) as target:
                copy = target.add_stream_from_template(stream, opaque=True)
                copy.time_base, begun = stream.time_base, False
                for packet in source.demux(stream):
                    if packet.pts is None or packet.dts is None or packet.pts < first - half:
                        continue
                    if packet.pts >= last - half:
                        if packet.is_keyframe:
                            break
                        continue
                    if not begun and not packet.is_keyframe:
                        raise UserError(f"{path}: {what} does not begin with a keyframe: encode its videos by episode")
                    begun = True
                    packet.pts, packet.dts, packet.stream = packet.pts - first, packet.dts - first, copy
                    target.mux(packet)
            return cut.read_bytes()
    except (FFmpegError, IndexError) as error:
        raise UserError(f"{path}: {what} cannot be read ({error}): fetch the whole dataset") from error
