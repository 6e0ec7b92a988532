"""Identifiers: a prefix that says of what, and 32 hexadecimal digits whose first ones grow with time."""

import secrets
import time


def new(kind: str, separator: str = "_") -> str:
    """Such as "video_0192f0c1a5e37b...": 48 bits of milliseconds, then 80 random ones, as in a ULID."""
    return f"{kind}{separator}{int(time.time() * 1000) & (2**48 - 1):012x}{secrets.token_hex(10)}"
