"""Commands, queries and results of transactions; both models understand those on locks.

Every struct starts with the logical key that it is routed by. Tags 40 to 49 in both keyspaces.
Actions travel as bytes that only the models read.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from trilith.transactions.records import Participant


class Command(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what `evaluate` takes."""


class Query(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what `answer` takes."""


class Result(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what both return."""


class LockHead(msgspec.Struct, frozen=True, array_like=True):
    """A lock as others see it: on which key, of which transaction, decided in which ledger.

    Without a ledger it is none: an older waiter has the key reserved (reservations.py).
    """

    key: bytes
    transaction: bytes
    ledger: bytes
    created_ms: int


class Staged(msgspec.Struct, frozen=True, array_like=True):
    """An action on a key, encoded by its model."""

    key: bytes
    action: bytes


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What one action came to. `code` is empty when it can be, or was, done.

    Sizes, units by index number (local, global), and `record` (the sealed one that failed a
    condition) are the model's.
    """

    code: str = ""
    message: str = ""
    old_size: int = 0
    new_size: int = 0
    index_units: dict[int, int] = {}
    global_units: dict[int, int] = {}
    record: bytes | None = None
    lock: LockHead | None = None  # of the other transaction, where that is the reason


CONFLICT = "TransactionConflict"
CONDITION_FAILED = "ConditionalCheckFailed"
INVALID = "ValidationError"
THROTTLED = "ProvisionedThroughputExceeded"


# --- locks: both keyspaces ------------------------------------------------------------------------


class Resolution(msgspec.Struct, frozen=True, array_like=True):
    """Perform the action that a transaction locked a key for, or drop it.

    `waiter`: whom the key need not be reserved for any more, or empty.
    """

    key: bytes
    transaction: bytes
    is_committed: bool
    waiter: bytes = b""


class Settled(msgspec.Struct, frozen=True, array_like=True):
    """What is left to do of decided transactions in one partition.

    `closed`: (ledger, transaction) of decisions that nobody asks for any more.
    """

    resolutions: list[Resolution] = []
    closed: list[tuple[bytes, bytes]] = []


NOTHING_SETTLED = Settled()


class Prepare(Command, frozen=True, tag=40):
    """Lock all keys, or none: all of a transaction's actions in the partition of `key`.

    `is_dry`: only look. `settled`, of other transactions, rides along. `waiter`: of one that was
    turned away before (reservations.py); empty at the first try.
    """

    once: ClassVar[bool] = True

    key: bytes
    transaction: bytes
    ledger: bytes
    staged: list[Staged]
    is_dry: bool = False
    settled: Settled = NOTHING_SETTLED
    waiter: bytes = b""


class Resolve(Command, frozen=True, tag=41):
    """Remove locks. Keys of other partitions are left out, and reported."""

    key: bytes
    settled: Settled


class Reserve(Command, frozen=True, tag=47):
    """Reserve keys of the partition of `key` for a waiter that only reads; `is_over`: it has read.

    Keys of other partitions are left out. Nothing is changed: who comes later waits a little.
    """

    key: bytes
    keys: list[bytes]
    waiter: bytes
    is_over: bool = False


class ListLocks(Query, frozen=True, tag=40):
    """Locks of the partition of `key` that were written before `before_ms`, at most `limit`."""

    key: bytes
    before_ms: int
    limit: int


class Prepared(Result, frozen=True, tag=40):
    """A verdict for each action; without any, the partition does not hold all the keys.

    `rode`: what rode along is done.
    """

    verdicts: list[Verdict]
    rode: bool = False


class Resolved(Result, frozen=True, tag=41):
    """`elsewhere`: keys and ledgers that are not in this partition."""

    elsewhere: list[bytes] = []


class Locks(Result, frozen=True, tag=42):
    locks: list[LockHead]


# --- ledgers: keyspace 3 --------------------------------------------------------------------------


class Commit(Command, frozen=True, tag=42):
    """Decide a transaction whose `participants` are locked, and perform the `staged` actions.

    Sent with the transaction's id as its token, so that the log keeps its answer, and refuses it
    once that is forgotten. `payload`: a digest of the request of a client token, or empty.
    `settled`, of other transactions, rides along. `waiter` as in Prepare.
    """

    once: ClassVar[bool] = True

    key: bytes  # the ledger
    transaction: bytes
    participants: tuple[Participant, ...]
    staged: list[Staged]
    payload: bytes = b""
    settled: Settled = NOTHING_SETTLED
    waiter: bytes = b""


class Settle(Command, frozen=True, tag=43):
    """Abort a transaction unless it is committed."""

    key: bytes
    transaction: bytes


class Close(Command, frozen=True, tag=44):
    """All participants were resolved, by others than the coordinator: who may still ask."""

    key: bytes
    transaction: bytes


class Expire(Command, frozen=True, tag=45):
    """Forget what the partition of `key` need not remember any more, a part at a time."""

    key: bytes


class AskLedger(Query, frozen=True, tag=41):
    key: bytes
    transaction: bytes


class AskToken(Query, frozen=True, tag=42):
    """Which transaction used the client token of a ledger."""

    key: bytes


class ListLedger(Query, frozen=True, tag=43):
    """Committed transactions of the partition of `key` from before `before_ms`, at most `limit`.

    `now_ms` tells which records are to be forgotten.
    """

    key: bytes
    before_ms: int
    now_ms: int
    limit: int


class Outcome(Result, frozen=True, tag=43):
    """What Commit did: one of the words below, and the verdicts on the staged actions.

    `rode`: what rode along is done.
    """

    word: str
    verdicts: list[Verdict] = []
    rode: bool = False


COMMITTED = "committed"
REFUSED = "refused"  # see the verdicts
ABORTED = "aborted"  # by someone who found a lock of it
REPLAYED = "replayed"  # the client token was used before, for the same request
MISMATCHED = "mismatched"  # or for another
MISPLACED = "misplaced"  # a staged action is not in this partition


class Standing(Result, frozen=True, tag=44):
    """Whether a transaction is committed. AskLedger's "no" may also be "not yet" or "long ago"."""

    is_committed: bool


class TokenUse(Result, frozen=True, tag=45):
    """`transaction` is None when the token was not used."""

    transaction: bytes | None
    payload: bytes = b""


class Unfinished(msgspec.Struct, frozen=True, array_like=True):
    """A committed transaction that may have locks left."""

    ledger: bytes
    transaction: bytes
    participants: tuple[Participant, ...]


class LedgerPage(Result, frozen=True, tag=46):
    """`has_expired`: Expire would find something."""

    unfinished: list[Unfinished]
    has_expired: bool


class Swept(Result, frozen=True, tag=47):
    """Close or Expire is done; `more`: Expire again."""

    more: bool = False


LOCK_RESULTS: tuple[type, ...] = (Prepared, Resolved, Locks)
LEDGER_RESULTS: tuple[type, ...] = (Outcome, Standing, TokenUse, LedgerPage, Swept)
