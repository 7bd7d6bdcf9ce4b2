"""Randomness: keys and tokens in production from the kernel, in a simulation from its seed."""

from __future__ import annotations

import os
import random
from typing import Protocol


class Entropy(Protocol):
    def token_bytes(self, length: int) -> bytes:
        """Unpredictable bytes, fit for keys."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Jitter; never for secrets."""
        ...


class SystemEntropy:
    def token_bytes(self, length: int) -> bytes:
        return os.urandom(length)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)
