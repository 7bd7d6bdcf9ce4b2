"""The bundle of ports that a node is built on."""

from __future__ import annotations

from dataclasses import dataclass

from trilith.runtime.clock import Clock
from trilith.runtime.disk import Disk
from trilith.runtime.entropy import Entropy
from trilith.runtime.network import Network
from trilith.runtime.workers import Workers


@dataclass(frozen=True, slots=True)
class Runtime:
    clock: Clock
    disk: Disk
    network: Network
    workers: Workers
    entropy: Entropy
