"""What a set holds and where: one Parquet row per clip, beside the shards, with the byte offset of every member.

The manifest is made from finished shards and holds nothing that they do not, so it can be written again at any time.
It lets a reader take any member of any clip in one read, choose clips without opening a tar, and see what a set is made
of in any tool that knows Parquet. The schema's version and the shards it was made from stand in its metadata.
"""

import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from worldpatch.config import UserError
from worldpatch.data import shards
from worldpatch.video._atomic import atomic

NAME = "manifest.parquet"
VERSION = 1
KEY = b"worldpatch"  # of the metadata: {"version", "shards": {name: bytes}}
REMEDY = "write it again with `worldpatch data manifest`"
ASPECTS = {"9:21": 9 / 21, "9:16": 9 / 16, "3:4": 3 / 4, "1:1": 1.0, "4:3": 4 / 3, "16:9": 16 / 9, "21:9": 21 / 9}
SIDES = (64, 128, 256, 360, 480, 720, 1080, 2160)  # shorter sides in pixels
LENGTHS = (1, 5, 9, 17, 33, 65, 129, 257, 513)  # frames


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file of a clip: `<clip_id>.<suffix>`, `size` bytes from `offset` of the shard, and their CRC-32."""

    suffix: str
    offset: int
    size: int
    crc32: int


@dataclass(frozen=True, kw_only=True)
class Caption:
    """`kind` is "terse", "dense", "original", ...; `model` made it, and is empty where a person or a world did."""

    text: str
    kind: str
    model: str = ""
    sha: str = ""


@dataclass(frozen=True, kw_only=True)
class Latent:
    """The shape of an encoded clip in latent pixels, and which autoencoder made it ("" where nobody wrote it down)."""

    vae: str
    t: int
    h: int
    w: int
    c: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """A clip. What is not known is None, or empty; so is what `read` was not asked for.

    Spans are of the source: presentation times in units of `time_base`, and seconds. `crop_box` is x, y, width and
    height in pixels of the source. `phash` are hashes of frames in hexadecimal. The `_ref`s are suffixes of members.
    """

    # identity
    clip_id: str = ""
    source_uri: str = ""
    source_sha256: str | None = None
    license: str = ""
    parent_id: str | None = None
    split: str | None = None
    # location
    shard: str = ""
    members: tuple[Member, ...] = ()
    # span and timing
    start_pts: int | None = None
    end_pts: int | None = None
    time_base: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    fps: float | None = None
    num_frames: int | None = None
    duration_s: float | None = None
    gop_max: int | None = None
    # geometry
    width: int | None = None
    height: int | None = None
    rotation: int | None = None
    crop_box: tuple[int, ...] | None = None
    aspect_bucket: str | None = None
    resolution_bucket: int | None = None
    frames_bucket: int | None = None
    # codec
    codec: str | None = None
    pix_fmt: str | None = None
    # judgements
    scores: dict[str, float | None] = field(default_factory=dict)
    phash: tuple[str, ...] = ()
    dup_cluster: str | None = None
    # text
    captions: tuple[Caption, ...] = ()
    # world model
    action_ref: str | None = None
    state_ref: str | None = None
    camera_ref: str | None = None
    seed: int | None = None
    sim_params: str | None = None  # JSON
    has_gt: bool | None = None
    # provenance
    pipeline_version: str | None = None
    config_sha: str | None = None
    # training
    latent: Latent | None = None
    problem: str | None = None  # why this clip cannot be used, where it is damaged

    @cached_property
    def simulated(self) -> dict[str, Any]:
        """What the simulator says of the scene; empty for real videos."""
        return json.loads(self.sim_params or "{}")

    @property
    def scene(self) -> str:
        """The kind of scene, where the source says ("fall", "hit", ...)."""
        return self.simulated.get("kind", "")

    def member(self, suffix: str) -> Member | None:
        return next((m for m in self.members if m.suffix == suffix), None)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The rows of a set, in the order of its shards."""

    folder: Path
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def fetch(self, row: Row, suffix: str) -> bytes:
        """A member's bytes. Raises UserError where the clip has none of this suffix, or they are not what they were."""
        member = row.member(suffix)
        if member is None:
            has = ", ".join(m.suffix for m in row.members)
            raise UserError(f"clip {row.clip_id} has no .{suffix}, only {has}: build the set with it")
        shard = self.folder / row.shard
        content = shards.fetch(shards.Place(shard=shard, offset=member.offset, size=member.size))
        if zlib.crc32(content) != member.crc32:
            raise UserError(f"{shard} has changed since its manifest, at {row.clip_id}.{suffix}: {REMEDY}")
        return content


# ---------------------------------------------------------------------------------------------------------- from shards


def scan(folder: Path) -> Manifest:
    """The rows of a folder's finished shards, made by reading them through.

    Raises UserError where there is no shard, or a damaged one. A clip whose record or latent is damaged has a row that
    says so.
    """
    rows = [_scanned(key, places) for shard in shards.names(folder) for key, places in shards.scan(shard)]
    return Manifest(folder=folder, rows=tuple(rows))


def write(folder: Path) -> Path:
    """Scan a folder's shards and write its manifest; returns the file.

    Raises UserError as `scan` does, on two clips of one name, where pyarrow is missing, and where it cannot be written.
    """
    import_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    made = scan(folder)
    _refuse_twice(made.rows)
    sizes = {shard.name: shard.stat().st_size for shard in shards.names(folder)}
    schema = _schema().with_metadata({KEY: json.dumps({"version": VERSION, "shards": sizes}).encode()})
    table = pa.Table.from_pylist([_plain(row) for row in made.rows], schema=schema)
    path = folder / NAME
    with atomic(path) as draft:
        parquet.write_table(table, draft, compression="zstd")
    return path


def _refuse_twice(rows: Iterable[Row]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        if row.clip_id in seen:
            raise UserError(
                f"clip {row.clip_id} is both in {seen[row.clip_id]} and in {row.shard}: names must differ; "
                "delete one of the shards"
            )
        seen[row.clip_id] = row.shard


def _scanned(key: str, places: dict[str, shards.Place]) -> Row:
    contents = {suffix: shards.fetch(place) for suffix, place in places.items()}
    members = tuple(
        Member(suffix=suffix, offset=place.offset, size=place.size, crc32=zlib.crc32(contents[suffix]))
        for suffix, place in places.items()
    )
    shard = next(iter(places.values())).shard.name
    try:
        return row(key, json.loads(contents["json"]), shard, members, _latent(contents.get("latent.safetensors")))
    except KeyError as error:
        problem = f"has no {error.args[0]}"
    except (ValueError, TypeError, AttributeError) as error:
        problem = f"is damaged: {error}"
    return Row(clip_id=key, shard=shard, members=members, problem=problem)


def row(key: str, record: dict[str, Any], shard: str, members: tuple[Member, ...], latent: Latent | None) -> Row:
    """A clip's record, as it stands in `<key>.json`, as a row. Raises KeyError where it lacks rate, size or frames."""
    suffixes = {m.suffix for m in members}
    frames, width, height, rate = record["frames"], record["width"], record["height"], record["rate"]
    captioners = record.get("captioners") or {}
    scene = record.get("scene")
    optional = (
        "source_sha256", "split", "start_pts", "end_pts", "time_base", "start_s", "end_s", "gop_max", "rotation",
        "codec", "pix_fmt", "seed", "config_sha",
    )  # fmt: skip
    return Row(
        clip_id=key, source_uri=record.get("source") or "", license=record.get("licence") or "",
        parent_id=record.get("parent"), shard=shard, members=members,
        fps=float(rate), num_frames=frames, duration_s=frames / rate, width=width, height=height,
        crop_box=tuple(record["crop_box"]) if record.get("crop_box") else None,
        aspect_bucket=min(ASPECTS, key=lambda name: abs(math.log(ASPECTS[name]) - math.log(width / height))),
        resolution_bucket=min(SIDES, key=lambda side: abs(math.log(side) - math.log(min(width, height)))),
        frames_bucket=max(length for length in LENGTHS if length <= max(1, frames)),
        scores=record.get("scores") or {}, phash=tuple((record.get("hashes") or {}).get("phash", ())),
        dup_cluster=None if record.get("dup_cluster") is None else str(record["dup_cluster"]),
        captions=tuple(
            Caption(text=text, kind=kind, model=captioners.get(kind) or "", sha=caption_sha(text))
            for kind, text in record.get("captions", {}).items()
        ),
        action_ref="actions.npz" if "actions.npz" in suffixes else None,
        state_ref="states.npz" if "states.npz" in suffixes else None,
        camera_ref="camera.npz" if "camera.npz" in suffixes else None,
        sim_params=None if scene is None else json.dumps({**scene, "objects": record.get("objects", [])}),
        has_gt="objects" in record,
        pipeline_version=record.get("version"), latent=latent,
        **{name: record.get(name) for name in optional},
    )  # fmt: skip


def caption_sha(text: str) -> str:
    """The hash by which captions are joined and repeats are found."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _latent(content: bytes | None) -> Latent | None:
    """Shape and origin, from the header alone. Raises ValueError where it is no latent."""
    if content is None:
        return None
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if "latent" not in header or len(header["latent"]["shape"]) != 4:
        raise ValueError("its .latent.safetensors holds no latent of four axes")
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    if len(content) != 8 + length + end:
        raise ValueError("its .latent.safetensors is too short")
    c, t, h, w = header["latent"]["shape"]
    return Latent(vae=header.get("__metadata__", {}).get("vae", ""), t=t, h=h, w=w, c=c)


# --------------------------------------------------------------------------------------------------------- from Parquet


def read(folder: Path, columns: Sequence[str] | None = None) -> Manifest:
    """The manifest of a folder; with `columns`, only these are read.

    Raises UserError where there is none, where it is damaged or of another version, where shards are missing, new or
    not as long as they were, and where pyarrow is missing.
    """
    import_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / NAME
    if not path.exists():
        raise UserError(f"{folder} holds no {NAME}: {REMEDY}")
    try:
        with parquet.ParquetFile(path) as file:
            _check(file.schema_arrow.metadata or {}, path)
            values = file.read(columns=list(columns) if columns else None).to_pylist(maps_as_pydicts="strict")
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is damaged ({error}): {REMEDY}") from error
    return Manifest(folder=folder, rows=tuple(map(_row, values)))


def find(folder: Path, columns: Sequence[str] | None = None) -> Manifest:
    """The manifest of a folder, or where there is none, or nothing to read it with, the same rows by a scan."""
    try:
        import pyarrow  # noqa: F401  (a host that only trains from latents may lack it)
    except ModuleNotFoundError:
        return scan(folder)
    return read(folder, columns) if (folder / NAME).exists() else scan(folder)


def import_pyarrow() -> None:
    """Raises UserError where pyarrow is not installed: worth asking before hours of building."""
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("manifests need pyarrow: pip install 'worldpatch[data]'") from error


def _check(metadata: dict[bytes, bytes], path: Path) -> None:
    """Is it ours, of this version, and of the shards that are there?"""
    try:
        about = json.loads(metadata[KEY])
        version, sizes = about["version"], about["shards"]
    except (KeyError, ValueError, TypeError):
        raise UserError(f"{path} was not written by worldpatch: {REMEDY}") from None
    if version != VERSION:
        raise UserError(f"{path} is of version {version}, this is version {VERSION}: {REMEDY}")
    there = {shard.name: shard.stat().st_size for shard in path.parent.glob("shard-*.tar")}
    for what, names in (
        ("are missing: put them back, or", set(sizes) - set(there)),
        ("have come since:", set(there) - set(sizes)),
        ("have changed since:", {name for name in sizes if name in there and sizes[name] != there[name]}),
    ):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise UserError(f"{path}: its shards {shown} {what} {REMEDY}")


def _row(values: dict[str, Any]) -> Row:
    for name, kind in (("members", Member), ("captions", Caption)):
        if name in values:
            values[name] = tuple(kind(**entry) for entry in values[name] or ())
    if values.get("latent"):
        values["latent"] = Latent(**values["latent"])
    if values.get("crop_box") is not None:
        values["crop_box"] = tuple(values["crop_box"])
    if "phash" in values:
        values["phash"] = tuple(values["phash"] or ())
    return Row(**values)


def _plain(row: Row) -> dict[str, Any]:
    """A row as Arrow takes it; maps are lists of pairs there."""
    return {**asdict(row), "scores": list(row.scores.items())}


def _schema() -> Any:
    """The Arrow schema: the fields of Row, in order."""
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    kinds: dict[str, Any] = {
        "members": pa.list_(
            pa.struct({"suffix": text, "offset": whole, "size": whole, "crc32": pa.uint32()}),
        ),
        "captions": pa.list_(pa.struct({"text": text, "kind": text, "model": text, "sha": text})),
        "latent": pa.struct({"vae": text, **{axis: pa.int32() for axis in "thwc"}}),
        "scores": pa.map_(text, real), "phash": pa.list_(text), "crop_box": pa.list_(pa.int32()), "has_gt": pa.bool_(),
        **dict.fromkeys(("start_s", "end_s", "fps", "duration_s"), real),
        **dict.fromkeys(("start_pts", "end_pts", "num_frames", "gop_max", "width", "height", "rotation"), whole),
        **dict.fromkeys(("resolution_bucket", "frames_bucket", "seed"), whole),
    }  # fmt: skip
    return pa.schema([(f.name, kinds.get(f.name, text)) for f in fields(Row)])
