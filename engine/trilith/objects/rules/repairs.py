"""The repair queue: which zone lacks which chunk. An entry is written with the chunk's segment."""

from __future__ import annotations

from trilith.objects.commands import CompleteRepairs, Done, Keys, ListRepairs
from trilith.objects.keys import REPAIR, split_repair_key
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
