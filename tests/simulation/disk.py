"""A simulated disk: the storage floor's recorded twin, with a speed and with damage."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from random import Random

from tests.storage.recorded_disk import RecordedDisk, Survival, Write, random_sectors_survive


def mixed_survival(random: Random) -> Survival:
    """What a power cut leaves of unsynced writes: nothing, some sectors in any order, a prefix."""

    def prefix(writes: list[Write]) -> list[Write]:
        kept = writes[: random.randrange(len(writes) + 1)]
        if len(kept) < len(writes):
            offset, data = writes[len(kept)]
            kept.append((offset, data[: random.randrange(len(data) + 1)]))
        return kept

    return random.choice([lambda _: [], random_sectors_survive(random.getrandbits(32)), prefix])


class SimDisk(RecordedDisk):
    """`sync_s`: bounds of one sync's time, times `slowness`. `wedged_until`: no sync ends before.

    `lies_after_failure`: after a failed sync the next ones succeed, as ext4's do.
    """

    def __init__(
        self, random: Random, now: Callable[[], float], *, capacity_bytes: int | None = None
    ) -> None:
        super().__init__(record=False, sync_delay_s=self._delay, capacity_bytes=capacity_bytes)
        self._random = random
        self._now = now
        self.sync_s = (0.0002, 0.002)
        self.slowness = 1.0
        self.wedged_until = 0.0

    def _delay(self) -> float:
        delay = self._random.uniform(*self.sync_s) * self.slowness
        return max(delay, self.wedged_until - self._now())

    def after_power_cut(self) -> SimDisk:
        """The disk of the machine when it runs again."""
        found = self.crashed(mixed_survival(self._random))
        return self._with_files_of(found)

    def as_synced(self) -> SimDisk:
        """What is provably durable now, and nothing else."""
        return self._with_files_of(self.crashed())

    def _with_files_of(self, other: RecordedDisk) -> SimDisk:
        disk = SimDisk(self._random, self._now, capacity_bytes=self.capacity_bytes)
        disk.sync_s, disk.slowness = self.sync_s, self.slowness
        disk._files, disk._directories = other._files, other._directories
        return disk

    def rot(self) -> str | None:
        """Flip one bit of a durable byte that is not zero; says where."""
        path = self._random_file()
        if path is None:
            return None
        image = self._files[path].durable
        used = len(image.rstrip(b"\0"))
        if used == 0:
            return None
        offset = self._random.randrange(used)
        self.flip(path, offset, 1 << self._random.randrange(8))
        return f"{path}:{offset}"

    def rot_end(self, directory: str) -> str | None:
        """Flip a bit among the last durable bytes of the newest segment there; says where."""
        found = [p for p, f in self._files.items() if p.startswith(directory) and any(f.durable)]
        paths = [p for p in found if p.endswith(".seg")]
        if not paths:
            return None
        path = max(paths)
        used = len(self._files[path].durable.rstrip(b"\0"))
        offset = used - 1 - self._random.randrange(min(used, 200))
        self.flip(path, offset, 1 << self._random.randrange(8))
        return f"{path}:{offset} of {used}"

    def misdirect(self) -> str | None:
        """A sector's bytes land in another place of the same file; says where."""
        path = self._random_file()
        if path is None:
            return None
        file = self._files[path]
        sectors = len(file.durable.rstrip(b"\0")) // 512
        if sectors < 2:
            return None
        source, target = self._random.sample(range(sectors), 2)
        data = bytes(file.durable[source * 512 : source * 512 + 512])
        for image in (file.durable, file.content):
            image[target * 512 : target * 512 + 512] = data
        return f"{path}: sector {source} over {target}"

    def _random_file(self) -> str | None:
        paths = sorted(path for path, file in self._files.items() if any(file.durable))
        return self._random.choice(paths) if paths else None


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
