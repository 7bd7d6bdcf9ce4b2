"""How far global indexes are fed from a place of the change log (family FED)."""

from __future__ import annotations

from trilith.errors import Corruption
from trilith.replication.state_machine import View
from trilith.tables.layout import FED, anchored

_VERSION = b"\x01"


def noted_sequence(start: bytes, table_id: bytes, view: View) -> int:
    """The sequence up to which all indexes have the changes that are anchored there; 0: unknown."""
    raw = view.get(FED, anchored(start, table_id))
    if raw is None:
        return 0
    if raw[:1] != _VERSION:
        raise Corruption(f"a note of fed changes of unknown version {raw[:1].hex()}")
    return int.from_bytes(raw[1:9], "big")
