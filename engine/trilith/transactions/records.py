"""What is stored of transactions: versioned records, a version byte and msgpack of an array."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from trilith.record_codec import RecordCodec

_VERSION = b"\x01"


class Lock(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A key that a transaction will change. `sealed`: the action, as the model seals it."""

    transaction: bytes
    ledger: bytes
    created_ms: int
    sealed: bytes


class Decision(IntEnum):
    """What a ledger says. CLOSED: committed, and all participants have been resolved."""

    COMMITTED = 1
    ABORTED = 2
    CLOSED = 3


Participant = tuple[int, bytes]  # keyspace and logical key of a locked action


class LedgerRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The decision on a transaction.

    A COMMITTED one stays until its participants are resolved. The others only keep a late command
    from deciding anew; they go once the partition's log refuses commands that old.
    """

    decision: int
    created_ms: int
    participants: tuple[Participant, ...] = ()


class UsedToken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A client token that a committed transaction used. `payload`: a digest of its request."""

    transaction: bytes
    payload: bytes


LOCK_RECORD = RecordCodec(Lock)
LEDGER_RECORD = RecordCodec(LedgerRecord)
USED_TOKEN = RecordCodec(UsedToken)
