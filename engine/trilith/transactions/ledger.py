"""The rules of ledgers: the one place where a transaction is decided."""

from __future__ import annotations

from trilith.replication.state_machine import Context, Effects, View
from trilith.transactions import commands as c
from trilith.transactions.layout import (
    KEYS_END,
    LEDGER,
    TOKEN_EPOCH_MS,
    TOKEN_EPOCHS,
    TOKENS,
    TRANSACTION_ID_SIZE,
    tokens_family,
)
from trilith.transactions.records import (
    LEDGER_RECORD,
    USED_TOKEN,
    Decision,
    LedgerRecord,
    UsedToken,
)
from trilith.transactions.reservations import reservations_for
from trilith.transactions.stage import HeldEffects, LockRules, Stage, weigh

_EXPIRED_PER_COMMAND_MAX = 2000


def _used(view: View, ledger: bytes) -> UsedToken | None:
    for family in range(TOKENS, TOKENS + TOKEN_EPOCHS):
        raw = view.get(family, ledger)
        if raw is not None:
            return USED_TOKEN.decode(raw)
    return None


class LedgerRules:
    """`stage` and `locks`: of the model whose keyspace ledgers are in."""

    def __init__(self, stage: Stage, locks: LockRules) -> None:
        self._stage = stage
        self._locks = locks

    def commit(
        self, command: c.Commit, view: View, effects: Effects, context: Context
    ) -> c.Outcome:
        record_key = command.key + command.transaction
        held = HeldEffects()  # one for both: what numbers a command's changes goes by it
        rode = self._locks.settle(command.settled, view, held, context)
        riders = len(held)
        outcome = self._commit(command, record_key, view, held, context)
        held.release(effects, None if outcome.word == c.COMMITTED else riders)
        if command.participants and outcome.word != c.COMMITTED:
            # An effect that changes nothing has this answer kept under the command's token: a copy
            # that arrives late must not commit what the coordinator has taken back by then.
            effects.delete(LEDGER, record_key + b"\x00")
        return c.Outcome(outcome.word, outcome.verdicts, rode)

    def _commit(
        self, command: c.Commit, record_key: bytes, view: View, effects: Effects, context: Context
    ) -> c.Outcome:
        """`effects` happen only when the answer is COMMITTED."""
        raw = view.get(LEDGER, record_key)
        if raw is not None:
            aborted = LEDGER_RECORD.decode(raw).decision == Decision.ABORTED
            return c.Outcome(c.ABORTED if aborted else c.COMMITTED)
        if command.payload:
            used = _used(view, command.key)
            if used is not None:
                same = used.payload == command.payload
                return c.Outcome(c.REPLAYED if same else c.MISMATCHED)
        if not all(view.covers(one.key) for one in command.staged):
            return c.Outcome(c.MISPLACED)
        keys, waiter = [one.key for one in command.staged], command.waiter
        if waiter:
            reservations_for(view).reserve(keys, waiter, context.now_ms)
        verdicts = weigh(
            self._stage, command.staged, command.transaction, view, effects, context, waiter
        )
        if any(verdict.code for verdict in verdicts):
            return c.Outcome(c.REFUSED, verdicts)
        if waiter:
            reservations_for(view).release(keys, waiter)
        for one in command.staged:
            effects.touch(one.key)
        if command.participants:
            record = LedgerRecord(Decision.COMMITTED, context.now_ms, command.participants)
            effects.put(LEDGER, record_key, LEDGER_RECORD.encode(record))
        if command.payload:
            used = UsedToken(command.transaction, command.payload)
            effects.put(tokens_family(context.now_ms), command.key, USED_TOKEN.encode(used))
        return c.Outcome(c.COMMITTED, verdicts)

    def settle(
        self, command: c.Settle, view: View, effects: Effects, context: Context
    ) -> c.Standing:
        record_key = command.key + command.transaction
        raw = view.get(LEDGER, record_key)
        if raw is not None:
            return c.Standing(LEDGER_RECORD.decode(raw).decision != Decision.ABORTED)
        if command.transaction >= context.floor:  # below, the log itself refuses the commit
            record = LedgerRecord(Decision.ABORTED, context.now_ms)
            effects.put(LEDGER, record_key, LEDGER_RECORD.encode(record))
        return c.Standing(is_committed=False)

    def close(self, command: c.Close, view: View, effects: Effects, context: Context) -> c.Swept:
        record_key = command.key + command.transaction
        raw = view.get(LEDGER, record_key)
        if raw is not None and LEDGER_RECORD.decode(raw).decision == Decision.COMMITTED:
            record = LedgerRecord(Decision.CLOSED, context.now_ms)
            effects.put(LEDGER, record_key, LEDGER_RECORD.encode(record))
        return c.Swept()

    def expire(self, _command: c.Expire, view: View, effects: Effects, context: Context) -> c.Swept:
        count = 0
        for key, raw in view.scan(LEDGER, b"", KEYS_END):
            if _is_expired(key, raw, context.floor):
                count += 1
                if count > _EXPIRED_PER_COMMAND_MAX:
                    break
                effects.delete(LEDGER, key)
        family = tokens_family(context.now_ms, epochs_ahead=1)
        bounds = _bounds(view, family)
        if bounds is not None:
            effects.delete_range(family, bounds[0], bounds[1] + b"\x00")
        return c.Swept(more=count > _EXPIRED_PER_COMMAND_MAX)


def _is_expired(key: bytes, raw: bytes, floor: bytes) -> bool:
    """Whether no command that asks for this decision can come any more."""
    is_old = key[-TRANSACTION_ID_SIZE:] < floor
    return is_old and LEDGER_RECORD.decode(raw).decision != Decision.COMMITTED


def _bounds(view: View, family: int) -> tuple[bytes, bytes] | None:
    """The first and last key of a family."""
    for first, _ in view.scan(family, b"", KEYS_END):
        for last, _ in view.scan(family, b"", KEYS_END, reverse=True):
            return first, last
    return None


def ask_ledger(query: c.AskLedger, view: View) -> c.Standing:
    raw = view.get(LEDGER, query.key + query.transaction)
    if raw is None:
        return c.Standing(is_committed=False)
    return c.Standing(LEDGER_RECORD.decode(raw).decision != Decision.ABORTED)


def ask_token(query: c.AskToken, view: View) -> c.TokenUse:
    used = _used(view, query.key)
    return c.TokenUse(None) if used is None else c.TokenUse(used.transaction, used.payload)


def list_ledger(query: c.ListLedger, view: View) -> c.LedgerPage:
    unfinished = []
    has_expired = _bounds(view, tokens_family(query.now_ms, epochs_ahead=1)) is not None
    for key, raw in view.scan(LEDGER, b"", KEYS_END):
        record = LEDGER_RECORD.decode(raw)
        if record.decision != Decision.COMMITTED:
            has_expired = has_expired or record.created_ms < query.now_ms - TOKEN_EPOCH_MS
        elif record.created_ms < query.before_ms:
            ledger, transaction = key[:-TRANSACTION_ID_SIZE], key[-TRANSACTION_ID_SIZE:]
            unfinished.append(c.Unfinished(ledger, transaction, record.participants))
            if len(unfinished) >= query.limit:
                break
    return c.LedgerPage(unfinished, has_expired)
