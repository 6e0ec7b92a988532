"""Latents of batches under way: marks in a folder of this machine and, where the store is shared, there as well, so
that a worker of another machine can go on with them."""

import logging
import shutil
from pathlib import Path

from worldpatch.config import UserError
from worldpatch.generate.drawing import Mark
from worldpatch.serve.house import House
from worldpatch.serve.objects import Failed

log = logging.getLogger(__name__)

MOST = 2  # marks of a batch: one that is damaged leaves another


class Kept:
    def __init__(self, house: House):
        self.jobs, self.objects = house.settings.jobs, house.objects
        self.shared = self.objects.folder is None

    def folder(self, batch: str) -> Path:
        """Of a batch's files on this machine."""
        found = self.jobs / batch
        found.mkdir(exist_ok=True)
        return found

    def keep(self, batch: str, at: int, mark: Mark) -> None:
        """Put a mark there as number `at`; older ones go. Without room for it the work goes on, unkept."""
        folder, name = self.folder(batch), f"{at:06d}.mark"
        try:
            mark.write(folder / name)
            for old in sorted(folder.glob("*.mark"))[:-MOST]:
                old.unlink()
            if self.shared:
                self.objects.put(f"jobs/{batch}/{name}", folder / name)
                for old in sorted(self.objects.names(f"jobs/{batch}"))[:-MOST]:
                    self.objects.remove(old)
        except (OSError, Failed) as error:
            (folder / f"{name}.part").unlink(missing_ok=True)
            log.warning("latents of %s cannot be kept (%s): a crash would cost what is done", batch, error)

    def newest(self, batch: str) -> Mark | None:
        """The newest that can be read; None where there are none: the work begins anew."""
        for at in self._numbers(batch):
            path = self.folder(batch) / f"{at:06d}.mark"
            try:
                if not path.exists():
                    path.write_bytes(self.objects.get(f"jobs/{batch}/{path.name}"))
                return Mark.read(path)
            except (UserError, OSError, Failed) as error:
                log.warning("%s", error)
        return None

    def next(self, batch: str) -> int:
        """The number after the newest one's."""
        return 1 + max(self._numbers(batch), default=-1)

    def forget(self, batch: str) -> None:
        shutil.rmtree(self.jobs / batch, ignore_errors=True)
        if self.shared:
            try:
                self.objects.remove(f"jobs/{batch}")
            except Failed as error:
                log.warning("latents of %s stay in the store: %s", batch, error)

    def _numbers(self, batch: str) -> list[int]:
        names = [path.name for path in self.folder(batch).glob("*.mark")]
        if self.shared:
            names += [name.rpartition("/")[2] for name in self.objects.names(f"jobs/{batch}")]
        return sorted({int(name.removesuffix(".mark")) for name in names}, reverse=True)
