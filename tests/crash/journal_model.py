"""What a journal must hold after any prefix of the records appended to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from trilith.storage.journal import CUT, DROP, ENTRY, RESET, STATE, Journal

Record = tuple[int, int, int, int, bytes]  # kind, partition, epoch, index, payload


@dataclass
class ModelLog:
    entries: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    last_index: int = 0
    state: bytes | None = None


def model_after(records: list[Record]) -> dict[int, ModelLog]:
    logs: dict[int, ModelLog] = {}
    for kind, partition, epoch, index, payload in records:
        if kind == DROP:
            logs.pop(partition, None)
            continue
        log = logs.setdefault(partition, ModelLog())
        if kind == ENTRY:
            log.entries[index] = (epoch, payload)
            log.last_index = index
        elif kind == STATE:
            log.state = payload
        elif kind == CUT:
            log.entries = {i: entry for i, entry in log.entries.items() if i <= index}
            log.last_index = min(log.last_index, index)
        elif kind == RESET:
            log.entries.clear()
            log.last_index = index
    return logs


def matches(journal: Journal, expected: dict[int, ModelLog], trimmed: dict[int, int]) -> bool:
    """Whether the journal recovered exactly `expected`, but for entries that it was told to trim.

    A partition of which nothing but trimmed records is left may be absent.
    """
    for partition, log in expected.items():
        found = journal.recovered.get(partition)
        if found is None:
            return False
        if found.damaged or found.state != log.state or found.last_index != log.last_index:
            return False
        lowest = min(log.entries, default=found.first_index)
        if found.first_index > max(lowest, trimmed.get(partition, 0) + 1):
            return False
        read = journal.read(partition, found.first_index, max_bytes=1 << 30, max_entries=1 << 30)
        wanted = [
            (epoch, index, payload)
            for index, (epoch, payload) in sorted(log.entries.items())
            if index >= found.first_index
        ]
        if read != wanted:
            return False
    return set(journal.recovered) == set(expected)
