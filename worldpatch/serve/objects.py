"""Where what was made is kept: a folder, or any store that speaks S3; read whole, in ranges, or as a stream."""

import errno
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, from_url

from worldpatch.serve.settings import Settings

Failed = BaseError  # what a store raises that is out
FULL = re.compile("No space left|File too large|disk is full|could not extend file|could not write to file")
PART = 2**20  # bytes of a stream at a time
RETRY: Any = {"max_retries": 6, "retry_timeout": timedelta(seconds=20)}  # then a store counts as out
CLIENT: Any = {"timeout": "60s", "connect_timeout": "5s", "allow_http": True}


def drawn(video: str, variant: int = 0) -> str:
    """What the model drew, at its own size: what videos made from this one begin with."""
    return f"videos/{video}/{variant}/drawn.mp4"


def latents(video: str, variant: int = 0) -> str:
    return f"videos/{video}/{variant}/drawn.latents.safetensors"


def shown(video: str, what: str, variant: int = 0) -> str:
    """What clients fetch: "video.mp4", "thumbnail.webp", "spritesheet.jpg", "preview.webp"."""
    return f"videos/{video}/{variant}/{what}"


def part(video: str, number: int, variant: int = 0) -> str:
    """A piece of the video while it is being written."""
    return f"videos/{video}/{variant}/parts/{number:05d}.mp4"


def portrait(character: str) -> str:
    return f"characters/{character}/picture.png"


def full(error: BaseException) -> bool:
    """Whether a file, a blob or a row could not be written for want of room."""
    ours = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return ours or FULL.search(str(error)) is not None


class Objects:
    """Named blobs. A name is ours, never a client's: `videos/ID/video.mp4`, `files/ID`."""

    def __init__(self, settings: Settings):
        self.folder: Path | None = None
        if settings.objects:
            self.store = from_url(settings.objects, retry_config=RETRY, client_options=CLIENT)
        else:
            self.folder = settings.home.absolute() / "objects"
            self.folder.mkdir(parents=True, exist_ok=True)
            self.store = LocalStore(self.folder)

    def path(self, name: str) -> Path | None:
        """Where a blob lies, where the store is a folder."""
        return None if self.folder is None else self.folder / name

    def put(self, name: str, path: Path) -> None:
        """Whole or not at all."""
        obstore.put(self.store, name, path)

    def put_bytes(self, name: str, content: bytes) -> None:
        obstore.put(self.store, name, content)

    def size(self, name: str) -> int | None:
        """Bytes; None where there is nothing."""
        try:
            return obstore.head(self.store, name)["size"]
        except (NotFoundError, FileNotFoundError):
            return None

    def get(self, name: str) -> bytes:
        return bytes(obstore.get(self.store, name).bytes())

    async def stream(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `stop`."""
        for at in range(start, stop, PART):
            yield bytes(await obstore.get_range_async(self.store, name, start=at, end=min(stop, at + PART)))

    def names(self, prefix: str) -> list[str]:
        """Of all blobs under a prefix."""
        return [found["path"] for page in obstore.list(self.store, prefix) for found in page]

    def remove(self, prefix: str) -> None:
        """A blob, or all that are under a prefix: stores list by whole segments, and so do not list that one itself."""
        names = self.names(prefix) or ([prefix] if self.size(prefix) is not None else [])
        if names:
            obstore.delete(self.store, names)
