"""`Range` of HTTP (RFC 9110, section 14), as far as players use it: one range of bytes."""

import re

from worldpatch.serve.errors import ApiError

SPEC = re.compile(r"^bytes=(\d*)-(\d*)$")


def asked(header: str | None, size: int) -> tuple[int, int] | None:
    """(first byte, one after the last) of a range; None where all is asked for, or in a way that may be passed over.

    Raises ApiError 416 where nothing of it is there.
    """
    match = SPEC.match((header or "").strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # so many of the last bytes
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
        if match[2] and int(match[2]) < int(match[1]):
            return None
    if start >= size or start >= stop:
        raise ApiError(
            416, f"range {header!r} of {size} bytes: nothing is there", headers={"content-range": f"bytes */{size}"}
        )
    return start, stop
