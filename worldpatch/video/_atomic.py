"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worldpatch.config import UserError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write to: it takes the place of `path` when the block ends, and vanishes if it fails.

    Folders on the way are made. An OSError (disk full, no permission, a folder of that name) becomes a UserError that
    names the path and the reason; any other exception, Ctrl-C included, passes through and leaves nothing behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        check_folder(path)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write {path}: {reason}; free some space or choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_folder(path: Path) -> None:
    """Makes the folder of `path` and raises OSError where a file of that name could not be put into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(None, "a folder of that name is there")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(None, "the folder may not be written to")
