"""Where the records of transactions live.

Ledgers are in the tables' keyspace. A ledger's logical key is

    that of an item in the transaction             no client token: in a partition that takes part
    slot (1) + zeros (16) + digest (16)            else: a function of the client's token

in the second form as the keys of a table whose id is all zeros (tables never have that one), so
that ledgers are spread over the partitions as items are (tables/layout.py).

    LEDGER              ledger + transaction id (16)
    TOKENS + 0..3       ledger                      used client tokens, by epoch

Partitions are split between the stems of items only: never between a ledger and its records.
"""

from __future__ import annotations

from blake3 import blake3

from trilith.cluster.bootstrap import TABLE_SLOTS, TABLES

LEDGER_KEYSPACE = TABLES
LEDGER = 0x06
TOKENS = 0x60
TOKEN_EPOCHS = 4
TOKEN_EPOCH_MS = 10 * 60 * 1000
TRANSACTION_ID_SIZE = 16
KEYS_END = b"\xff" * 24  # above every logical key of a ledger

_NO_TABLE = bytes(16)


def ledger_of(token: bytes) -> bytes:
    """The ledger of a client token, or of a transaction that has no item to keep it with."""
    digest = blake3(token).digest()[:16]
    return bytes((digest[0] * TABLE_SLOTS // 256,)) + _NO_TABLE + digest


def tokens_family(now_ms: int, epochs_ahead: int = 0) -> int:
    """Where client tokens that are used now are remembered.

    There are four generations: one is written, its predecessors are read, the next is emptied. So
    a token is remembered for at least two whole epochs.
    """
    return TOKENS + (now_ms // TOKEN_EPOCH_MS + epochs_ahead) % TOKEN_EPOCHS
