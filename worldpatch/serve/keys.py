"""API keys: made once, shown once, kept as a digest; with scopes, a rate and a daily share of video.

A secret is 32 random bytes, so a plain SHA-256 is enough to keep it by: there is nothing to guess from a list of
passwords, and looking a digest up by index takes the same time whether it is nearly right or not.
"""

import hashlib
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from worldpatch.config import UserError
from worldpatch.serve.errors import ApiError
from worldpatch.serve.ids import new
from worldpatch.serve.tables import keys, videos

USUAL = ("videos", "files", "images", "webhooks")
SCOPES = (*USUAL, "metrics", "admin")
DAY = 86400.0
GUESSES = 30  # wrong keys from an address within a minute, before it has to wait


@dataclass(frozen=True)
class Key:
    id: str
    scopes: tuple[str, ...]
    seconds_a_day: float | None
    requests_a_minute: int | None

    def needs(self, scope: str) -> None:
        if scope not in self.scopes and "admin" not in self.scopes:
            raise ApiError(403, f"this key has the scopes {', '.join(self.scopes)}, not {scope}: use another one")


def make(
    connection: sa.Connection, name: str, scopes: tuple[str, ...] = USUAL, *,
    seconds_a_day: float | None = None, requests_a_minute: int | None = None,
) -> tuple[str, str]:  # fmt: skip
    """(its id, the secret: seen this once). Raises UserError on unknown scopes."""
    if unknown := set(scopes) - set(SCOPES):
        raise UserError(f"unknown scopes {', '.join(sorted(unknown))}; known: {', '.join(SCOPES)}")
    id, secret = new("key"), f"wp-{secrets.token_urlsafe(32)}"
    row = {
        "id": id, "name": name, "hash": _digest(secret), "hint": secret[-4:], "scopes": list(scopes),
        "seconds_a_day": seconds_a_day, "requests_a_minute": requests_a_minute, "created_at": time.time(),
    }  # fmt: skip
    connection.execute(sa.insert(keys).values(**row))
    return id, secret


def find(connection: sa.Connection, secret: str) -> Key:
    """Raises ApiError 401 where there is no such key, or no more."""
    query = sa.select(keys).where(keys.c.hash == _digest(secret), keys.c.revoked_at.is_(None))
    row: Any = connection.execute(query).mappings().first()
    if row is None:
        raise ApiError(401, "this API key is not known: send Authorization: Bearer KEY, made with `worldpatch keys`")
    return Key(row["id"], tuple(row["scopes"]), row["seconds_a_day"], row["requests_a_minute"])


def all_of(connection: sa.Connection) -> list[Any]:
    """All keys, the oldest first."""
    return list(connection.execute(sa.select(keys).order_by(keys.c.created_at)).mappings())


def revoke(connection: sa.Connection, id: str) -> None:
    """Raises UserError where there is no such key."""
    gone = sa.update(keys).where(keys.c.id == id, keys.c.revoked_at.is_(None)).values(revoked_at=time.time())
    if not connection.execute(gone).rowcount:
        raise UserError(f"no key {id!r} is there to be revoked: see `worldpatch keys list`")


def check_quota(connection: sa.Connection, key: Key, seconds: float) -> None:
    """Raises ApiError 429 where a key has had its share of video for the last 24 hours."""
    if key.seconds_a_day is None:
        return
    since = time.time() - DAY
    query = sa.select(videos.c.facts).where(
        videos.c.owner == key.id, videos.c.created_at > since, videos.c.status != "failed"
    )
    used = sum(float(facts["length"]) * facts.get("variants", 1) for facts in connection.scalars(query))
    if used + seconds > key.seconds_a_day:
        raise ApiError(
            429, f"{seconds:g} s beside the {used:g} s of the last day are beyond its {key.seconds_a_day:g} s: wait, "
            "or ask for a larger share", code="quota_exceeded", headers={"retry-after": "3600"},
        )  # fmt: skip


@dataclass
class Rate:
    """Requests of each key in the last minute, of one process."""

    seen: dict[str, deque[float]] = field(default_factory=dict)
    guessed: dict[str, deque[float]] = field(default_factory=dict)

    def guess(self, address: str) -> None:
        """Note a wrong key. Raises ApiError 429 where an address has sent many."""
        if len(self.guessed) > 10_000:
            self.guessed.clear()
        calls = _of_a_minute(self.guessed, address)
        if len(calls) >= GUESSES:
            wait = max(1, round(calls[0] + 60 - time.monotonic()))
            raise ApiError(429, f"too many wrong keys: wait {wait} s", headers={"retry-after": str(wait)})
        calls.append(time.monotonic())

    def take(self, key: Key) -> dict[str, str]:
        """The headers that tell a client its rate. Raises ApiError 429 beyond it."""
        most = key.requests_a_minute
        if most is None:
            return {}
        now, calls = time.monotonic(), _of_a_minute(self.seen, key.id)
        left = calls[0] + 60 - now if calls else 60.0
        told = {
            "x-ratelimit-limit-requests": str(most),
            "x-ratelimit-remaining-requests": str(max(0, most - len(calls) - 1)),
            "x-ratelimit-reset-requests": f"{left:.0f}s",
        }  # fmt: skip
        if len(calls) >= most:
            wait = {"retry-after": f"{left:.0f}", "retry-after-ms": f"{1000 * left:.0f}"}
            raise ApiError(429, f"more than {most} requests in a minute: wait {left:.0f} s", headers={**told, **wait})
        calls.append(now)
        return told


def _of_a_minute(seen: dict[str, deque[float]], who: str) -> deque[float]:
    """When somebody was seen in the last minute."""
    calls = seen.setdefault(who, deque())
    while calls and calls[0] <= time.monotonic() - 60:
        calls.popleft()
    return calls


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
