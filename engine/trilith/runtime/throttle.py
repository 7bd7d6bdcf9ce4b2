"""Spreading background work over time, so that it never crowds out what somebody waits for."""

from __future__ import annotations

import asyncio


class Throttle:
    """Bytes per second: each waits until those before it are paid for; idle time is lost."""

    def __init__(self, bytes_per_second: int) -> None:
        self._bytes_per_second = bytes_per_second
        self._paid_until = 0.0

    async def wait_for(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        start = max(self._paid_until, now)
        self._paid_until = start + size / self._bytes_per_second
        await asyncio.sleep(max(0.0, start - now))
