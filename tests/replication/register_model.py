"""A small model for tests of replication: registers with compare-and-set, and appends."""

from __future__ import annotations

import msgspec

from trilith.errors import PreconditionFailed
from trilith.replication.state_machine import Context, Effects, View

REGISTERS = 0x10
SIGNS = 0x11


class Write(msgspec.Struct, frozen=True, array_like=True, tag=1):
    key: bytes
    value: bytes
    expected: bytes | None = None  # compare-and-set when given


class Append(msgspec.Struct, frozen=True, array_like=True, tag=2):
    key: bytes
    value: bytes


class Read(msgspec.Struct, frozen=True, array_like=True, tag=1):
    key: bytes


class Scan(msgspec.Struct, frozen=True, array_like=True, tag=2):
    start: bytes
    end: bytes


class Value(msgspec.Struct, frozen=True, array_like=True, tag=1):
    value: bytes | None


class Pairs(msgspec.Struct, frozen=True, array_like=True, tag=2):
    pairs: list[tuple[bytes, bytes]]


class Anywhere:
    """Registers may be split at any key, and merged."""

    route_bytes_max = 64
    merges = True
    anchored: frozenset[int] = frozenset()

    def boundary(self, key: bytes) -> bytes | None:
        return key[: self.route_bytes_max]

    def carried(self, view: View, start: bytes, split_key: bytes) -> list[tuple[int, bytes, bytes]]:
        del view, start
        return [(SIGNS, split_key, b"split here")]

    def united(
        self, left: View, left_start: bytes, right: View, right_start: bytes
    ) -> list[tuple[int, bytes, bytes]]:
        del left, right, right_start
        return [(SIGNS, left_start, b"merged here")]


class RegisterModel:
    command_type = Write | Append
    query_type = Read | Scan
    result_type = Value | Pairs

    def evaluate(
        self, command: msgspec.Struct, view: View, effects: Effects, context: Context
    ) -> msgspec.Struct:
        assert isinstance(command, Write | Append)
        held = view.get(REGISTERS, command.key)
        if isinstance(command, Append):
            value = (held or b"") + command.value
        else:
            if command.expected is not None and held != command.expected:
                raise PreconditionFailed("the register holds something else")
            value = command.value
        effects.put(REGISTERS, command.key, value)
        return Value(value)

    def answer(self, query: msgspec.Struct, view: View) -> msgspec.Struct:
        if isinstance(query, Scan):
            return Pairs(list(view.scan(REGISTERS, query.start, query.end)))
        assert isinstance(query, Read)
        return Value(view.get(REGISTERS, query.key))
