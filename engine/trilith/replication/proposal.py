"""A command on its way through a leader, and the tokens that make a retry apply once (rule 10)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from trilith.errors import TrilithError

# Called once with (result, encoded result, error); exactly one of result and error is set.
Done = Callable[[Any, bytes, TrilithError | None], None]


class Proposal(msgspec.Struct):
    """`token`: 16 bytes, time-ordered. `retry`: an earlier attempt may have been applied.

    `until`: the command is for all of [key, until), which one partition must hold; None: for `key`.
    """

    key: bytes
    command: msgspec.Struct
    token: bytes
    retry: bool
    done: Done
    until: bytes | None = None


class Outcome(msgspec.Struct):
    """What a proposal came to, held back until the entries that it depends on are committed."""

    done: Done
    result: Any
    encoded: bytes
    error: TrilithError | None

    def release(self) -> None:
        self.done(self.result, self.encoded, self.error)


TOKEN_RANDOM_BYTES = 10
TOKEN_LIFETIME_MS = 10 * 60 * 1000
TOKEN_SWEEP_INTERVAL_MS = 60 * 1000


def make_token(now_ms: int, random_bytes: bytes) -> bytes:
    """A UUIDv7 (RFC 9562): 48 bits of time, then version, variant and 74 random bits."""
    tail = bytearray(random_bytes[:10])
    tail[0] = (tail[0] & 0x0F) | 0x70
    tail[2] = (tail[2] & 0x3F) | 0x80
    return now_ms.to_bytes(6, "big") + bytes(tail)


def scoped_token(token: bytes, command: str, key: bytes) -> bytes:
    """The token of one command of a request that a caller may send again: as old as the request's
    own, and another for every kind of command and key.
    """
    digest = hashlib.blake2b(key, digest_size=10, key=token, person=command.encode()[:16])
    return token[:6] + digest.digest()


def token_floor(now_ms: int) -> bytes:
    """All tokens of requests older than the lifetime sort before this."""
    return max(0, now_ms - TOKEN_LIFETIME_MS).to_bytes(6, "big")


def is_expired(token: bytes, now_ms: int) -> bool:
    """Whether the record of a token may already have been swept: its retry must be refused."""
    return token < token_floor(now_ms + TOKEN_SWEEP_INTERVAL_MS)
