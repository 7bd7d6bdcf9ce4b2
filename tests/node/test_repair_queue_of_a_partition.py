"""Whether a zone that asks to be taken in lacks chunks of a partition."""

from __future__ import annotations

import asyncio

import pytest
from tests.objects.local_partitions import ABOVE_ALL, LocalView, SortedState

from trilith.node.repair import is_missing_chunks
from trilith.objects.keys import BUCKET_ID_SIZE, REPAIR, repair_key, stem_of
from trilith.objects.model import ObjectsModel
from trilith.objects.records import REPAIR_RECORD, RepairRecord
from trilith.objects.rules.manifests import _SCANNED_MAX

ENTRY = REPAIR_RECORD.encode(RepairRecord(1))


def stem(number: int) -> bytes:
    return stem_of(b"b" * BUCKET_ID_SIZE, f"{number:06d}")


@pytest.mark.parametrize("others", [0, 1, _SCANNED_MAX - 1, _SCANNED_MAX, 2 * _SCANNED_MAX + 1])
def test_a_zones_entry_is_found_behind_any_number_of_another_zones(others: int) -> None:
    state = SortedState()
    for number in range(others):
        state.put(REPAIR, repair_key(stem(number), "az2", b"c" * 32), ENTRY)
    state.put(REPAIR, repair_key(stem(others), "az3", b"c" * 32), ENTRY)
    view = LocalView(state, b"", ABOVE_ALL)
    model = ObjectsModel()
    assert asyncio.run(is_missing_chunks(model, view, b"", "az3"))
    assert not asyncio.run(is_missing_chunks(model, view, b"", "az1"))
    assert asyncio.run(is_missing_chunks(model, view, b"", "az2")) == bool(others)
