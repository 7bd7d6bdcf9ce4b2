"""The repair queue: which zone lacks which chunk. An entry is written with the chunk's segment."""

from __future__ import annotations

from trilith.objects.commands import (
    CompleteRepairs,
    Done,
    DropRepair,
    GetRepair,
    Keys,
    ListRepairs,
    Records,
)
from trilith.objects.keys import REPAIR, split_repair_key
from trilith.objects.records import REPAIR_RECORD
from trilith.objects.rules.manifests import work_list
from trilith.replication.state_machine import Context, Effects, View


def list_repairs(query: ListRepairs, view: View) -> Keys:
    def of_zone(key: bytes, _value: bytes) -> bool:
        return not query.zone or split_repair_key(key)[0] == query.zone

    return work_list(view, REPAIR, query.start, query.limit, of_zone)


def complete_repairs(
    command: CompleteRepairs, _view: View, effects: Effects, _context: Context
) -> Done:
    for key in command.keys:
        effects.delete(REPAIR, key)
    return Done()


def get_repair(query: GetRepair, view: View) -> Records:
    raw = view.get(REPAIR, query.key)
    return Records([] if raw is None else [(REPAIR_RECORD.decode(raw).created_ms, b"")])


def drop_repair(command: DropRepair, view: View, effects: Effects, _context: Context) -> Done:
    """A manifest committed meanwhile has made the entry anew: that one stays."""
    raw = view.get(REPAIR, command.key)
    if raw is not None and REPAIR_RECORD.decode(raw).created_ms == command.created_ms:
        effects.delete(REPAIR, command.key)
    return Done()
