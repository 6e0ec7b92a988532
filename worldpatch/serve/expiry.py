"""What has expired goes; the rows stay, and say so."""

import asyncio
import logging
import time

import sqlalchemy as sa

from worldpatch.serve import objects, tables
from worldpatch.serve.house import House

log = logging.getLogger(__name__)

LOOK = 60.0  # seconds between two looks
JUMP, TRUST = 30.0, 3600.0  # seconds: so far is a jump of the clock, and so long is it not trusted then


class Steady:
    """Whether the clock of the day has gone as the steady one has: after a jump, only when an hour has passed without
    another, for nothing that goes by a wrong clock comes back when it is put right."""

    def __init__(self) -> None:
        self.difference, self.since = time.time() - time.monotonic(), -TRUST

    def __call__(self) -> bool:
        difference, now = time.time() - time.monotonic(), time.monotonic()
        if abs(difference - self.difference) > JUMP:
            log.warning("the clock has jumped by %.0f s: nothing expires for an hour", difference - self.difference)
            self.since = now
        self.difference = difference
        return now - self.since >= TRUST


async def run(house: House) -> None:
    """For ever."""
    steady = Steady()
    while True:
        try:
            if steady():
                await asyncio.to_thread(_expire, house)
        except (*tables.OUT, objects.Failed) as error:
            log.warning("what has expired stays for now: %s", tables.told(error))
        await asyncio.sleep(LOOK)


def _expire(house: House) -> None:
    now = time.time()
    for table, prefix in ((tables.videos, "videos/"), (tables.files, "files/")):
        past = table.c.expires_at < now
        with house.engine.connect() as connection:
            ids = list(connection.scalars(sa.select(table.c.id).where(past, table.c.expires_at > now - 7 * 86400)))
        for id in ids:
            house.objects.remove(prefix + id)
    with tables.writing(house.engine) as connection:
        connection.execute(sa.delete(tables.idempotency).where(tables.idempotency.c.at < now - 86400))
