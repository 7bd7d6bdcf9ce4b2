"""A node's sign of life to its supervisor: one byte a beat through an inherited pipe.

Only the event loop beats, so silence says that the loop does not run: the process is stopped, or
something blocks the loop. The node closes its end when it begins to stop; silence after that is no
fault. `supervisor/watchdog.py` listens.
"""

from __future__ import annotations

import asyncio
import os

BEAT_INTERVAL_S = 0.2


class Pulse:
    """The node's end. On the event loop."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            try:
                os.write(self._descriptor, b".")
            except BlockingIOError:
                pass  # full: the supervisor is the one that does not run
            except BrokenPipeError:
                return  # it ended; the kernel tells us by a signal
            await asyncio.sleep(BEAT_INTERVAL_S)

    def close(self) -> None:
        """The node stops: no more beats are due."""
        self._beating.cancel()
        os.close(self._descriptor)
