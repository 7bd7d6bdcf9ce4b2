"""Items in transactions: what an action does, and what an ordinary write does where one is due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from trilith.errors import IndexThroughputExceeded
from trilith.replication.state_machine import Context, Effects, View
from trilith.tables.commands import (
    CheckItem,
    ConditionFailed,
    DeleteItem,
    PutItem,
    UpdateItem,
    Written,
)
from trilith.tables.definitions import TABLE_ID_SIZE
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import LOCK
from trilith.tables.rules.items import ItemRules
from trilith.transactions.commands import CONDITION_FAILED, THROTTLED, Staged, Verdict
from trilith.transactions.reservations import require_its_turn, reservations_for
from trilith.transactions.stage import require_unlocked

ItemAction = PutItem | UpdateItem | DeleteItem | CheckItem

encode_action = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ItemAction).decode
_WAITING = (PutItem, UpdateItem, DeleteItem)
_FAILED = "The conditional request failed"
_INDEXES_BEHIND = "global indexes are too far behind"

R = TypeVar("R")


def while_unlocked(
    write: Callable[[Any, View, Effects, Context], R],
    rules: ItemRules,
) -> Callable[[Any, View, Effects, Context], R]:
    """An ordinary write, which leaves alone what a transaction is about to change, or waits for.

    Raises IndexThroughputExceeded, TransactionConflict.
    """

    def evaluate(command: Any, view: View, effects: Effects, context: Context) -> R:
        rules.changes.require_fed(command.terms, command.key)
        waiter = command.waiter if isinstance(command, _WAITING) else b""
        require_its_turn(view, command.key, waiter, context.now_ms)
        require_unlocked(view, LOCK, command.key)
        written = write(command, view, effects, context)
        if waiter:
            reservations_for(view).release((command.key,), waiter)
        return written

    return evaluate


class ItemStage:
    """Implements transactions.stage.Stage."""

    lock_family = LOCK

    def __init__(self, rules: ItemRules, keys: ItemKeys) -> None:
        self._rules = rules
        self._keys = keys

    def refusal(self, staged: Staged) -> Verdict | None:
        if not self._rules.changes.is_any_behind:
            return None
        action = _decode(staged.action)
        try:
            if not isinstance(action, CheckItem):
                self._rules.changes.require_fed(action.terms, action.key)
        except IndexThroughputExceeded:
            return Verdict(THROTTLED, _INDEXES_BEHIND)
        return None

    def perform(self, staged: Staged, view: View, effects: Effects, context: Context) -> Verdict:
        action, rules = _decode(staged.action), self._rules
        done: Written | ConditionFailed
        if isinstance(action, PutItem):
            done = rules.put_item(action, view, effects, context)
        elif isinstance(action, UpdateItem):
            done = rules.update_item(action, view, effects, context)
        elif isinstance(action, DeleteItem):
            done = rules.delete_item(action, view, effects, context)
        else:
            done = rules.check_item(action, view)
        if type(done) is ConditionFailed:
            return Verdict(CONDITION_FAILED, _FAILED, done.size, record=done.old)
        written = cast(Written, done)
        return Verdict(
            "",
            "",
            written.old_size,
            written.new_size,
            written.index_units,
            written.global_units,
        )

    def seal(self, staged: Staged) -> bytes:
        action = _decode(staged.action)
        plain = replace(action, terms=replace(action.terms, condition=None))
        return self._keys.seal_action(_table_id(staged.key), staged.key, encode_action(plain))

    def open(self, key: bytes, sealed: bytes) -> bytes:
        return self._keys.open_action(_table_id(key), key, sealed)


def _table_id(key: bytes) -> bytes:
    return key[1 : 1 + TABLE_ID_SIZE]
