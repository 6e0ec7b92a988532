"""The kept clips as shards and a manifest. What was there before is replaced at the end, whole or not at all."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldpatch import __version__
from worldpatch.data import manifest, shards
from worldpatch.data.curate.encode import latent
from worldpatch.data.curate.records import Cut, File, Source
from worldpatch.data.curate.split import GOP, media
from worldpatch.video._atomic import atomic

HELD = 0.05  # share of files whose clips are marked for validation: whole files, so that no scene is on both sides


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A clip of the set, with all that is known of it. `captions` are by kind, `captioners` who wrote which."""

    cut: Cut
    file: File
    source: Source
    captions: dict[str, str] = field(default_factory=dict)
    captioners: dict[str, str] = field(default_factory=dict)


def pack(
    kept: Sequence[Kept],
    folder: Path,
    work: Path,
    fingerprint: str,
    vae: str = "",
    per_shard: int = 500,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Write shards and manifest of the clips, ordered by name; `vae` names the autoencoder whose latents go with them.

    Returns whether anything had to be written.
    """  # fmt: skip
    ordered = sorted(kept, key=lambda k: k.cut.id)
    records = [_record(k, fingerprint) for k in ordered]
    told = hashlib.sha256(json.dumps([records, vae, per_shard], sort_keys=True).encode()).hexdigest()
    stamp = folder / "set.json"
    if stamp.exists() and (folder / manifest.NAME).exists() and json.loads(stamp.read_text())["sha256"] == told:
        return False
    draft = folder / ".draft-set"
    shutil.rmtree(draft, ignore_errors=True)
    writer = shards.Writer(draft, per_shard)
    for number, (k, record) in enumerate(zip(ordered, records, strict=True)):
        members = {"json": json.dumps(record).encode(), "mp4": media(work, k.cut.id).read_bytes()}
        encoded = latent(work, k.cut.id, vae)
        if vae and encoded.exists():
            members["latent.safetensors"] = encoded.read_bytes()
        writer.write(k.cut.id, members)
        writer.rest()
        if progress:
            progress(number + 1, len(ordered))
    writer.flush()
    stamp.unlink(missing_ok=True)  # from here until it is there again, a rerun packs again
    for old in (*folder.glob("shard-*.tar"), folder / manifest.NAME):
        old.unlink(missing_ok=True)
    for new in sorted(draft.glob("shard-*.tar")):
        new.rename(folder / new.name)
    draft.rmdir()
    if ordered:
        manifest.write(folder)
    with atomic(stamp) as temporary:
        temporary.write_text(json.dumps({"sha256": told, "clips": len(ordered)}))
    return True


def _record(kept: Kept, fingerprint: str) -> dict[str, Any]:
    """What a clip's JSON says; the keys are those of `manifest.row`."""
    cut, file, source = kept.cut, kept.file, kept.source
    return {
        "captions": kept.captions, "captioners": kept.captioners, "rate": cut.rate, "frames": cut.frames,
        "height": cut.height, "width": cut.width, "seed": None, "source": source.origin or source.path,
        "licence": source.licence, "source_sha256": file.sha256, "parent": file.sha256[:24],
        "split": "validation" if int(file.sha256[:8], 16) < HELD * 2**32 else "train",
        "start_pts": cut.pts[0], "end_pts": cut.pts[1], "time_base": cut.time_base or None,
        "start_s": round(cut.start / cut.rate, 6), "end_s": round(cut.stop / cut.rate, 6), "gop_max": GOP,
        "rotation": file.rotation, "crop_box": list(cut.crop), "codec": "h264", "pix_fmt": "yuv420p",
        "scores": cut.scores, "hashes": {"phash": list(cut.hashes)}, "version": __version__, "config_sha": fingerprint,
    }  # fmt: skip
