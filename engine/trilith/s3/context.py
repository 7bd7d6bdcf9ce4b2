"""What every operation may reach."""

from __future__ import annotations

from dataclasses import dataclass

from trilith.objects.types import Objects
from trilith.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Context:
    objects: Objects
    clock: Clock
    region: str
