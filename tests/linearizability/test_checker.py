"""The checker itself, on histories known to be good, known to be bad, and against brute force."""

from __future__ import annotations

from itertools import chain, combinations, permutations
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.linearizability.checker import Kind, Operation, explain, is_linearizable, step


def write(value: bytes, called: float, returned: float = inf) -> Operation:
    return Operation(Kind.WRITE, called, returned, value=value)


def read(seen: bytes | None, called: float, returned: float) -> Operation:
    return Operation(Kind.READ, called, returned, seen=seen)


def swap(
    expected: bytes, value: bytes, called: float, returned: float = inf, *, holds: bool = True
) -> Operation:
    return Operation(
        Kind.COMPARE_AND_SET, called, returned, value=value, expected=expected, holds=holds
    )


def append(value: bytes, seen: bytes, called: float, returned: float = inf) -> Operation:
    return Operation(Kind.APPEND, called, returned, value=value, seen=seen)


GOOD = {
    "nothing happened": [],
    "one after the other": [write(b"1", 0, 1), read(b"1", 2, 3)],
    "a read beside a write may see either": [
        write(b"1", 0, 1),
        write(b"2", 2, 9),
        read(b"1", 3, 4),
        read(b"2", 5, 6),
    ],
    "an unknown write may have happened": [write(b"1", 0), read(b"1", 5, 6)],
    "an unknown write may not have happened": [write(b"1", 0), read(None, 5, 6)],
    "an unknown write may happen late": [
        write(b"1", 0),
        read(None, 1, 2),
        write(b"2", 3, 4),
        read(b"1", 5, 6),
    ],
    "of two swaps one holds": [
        write(b"0", 0, 1),
        swap(b"0", b"1", 2, 5),
        swap(b"0", b"2", 2, 5, holds=False),
        read(b"1", 6, 7),
    ],
    "an unknown append is seen by the next": [append(b"a", b"", 0), append(b"b", b"ab", 1, 2)],
    "concurrent appends in either order": [append(b"a", b"ba", 0, 5), append(b"b", b"b", 1, 4)],
}

BAD = {
    "a lost write": [write(b"1", 0, 1), read(None, 2, 3)],
    "a stale read": [write(b"1", 0, 1), write(b"2", 2, 3), read(b"1", 4, 5)],
    "a value out of nowhere": [write(b"1", 0, 1), read(b"2", 2, 3)],
    "two reads go back in time": [
        write(b"1", 0, 1),
        write(b"2", 2, 9),
        read(b"2", 3, 4),
        read(b"1", 5, 6),
    ],
    "both swaps hold": [
        write(b"0", 0, 1),
        swap(b"0", b"1", 2, 5),
        swap(b"0", b"2", 2, 5),
    ],
    "a swap is refused without a reason": [
        write(b"0", 0, 1),
        swap(b"0", b"1", 2, 3, holds=False),
    ],
    "an append counts twice": [append(b"a", b"a", 0, 1), read(b"aa", 2, 3)],
    "an unknown append counts twice": [append(b"a", b"", 0), read(b"aa", 2, 3)],
    "an append is lost": [append(b"a", b"a", 0, 1), append(b"b", b"b", 2, 3)],
    "an unknown write comes and goes": [
        write(b"0", 0, 1),
        write(b"1", 2),
        read(b"1", 3, 4),
        read(b"0", 5, 6),
        read(b"1", 7, 8),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_is_explained(name: str) -> None:
    assert is_linearizable(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_refused(name: str) -> None:
    assert not is_linearizable(BAD[name])


def brute_force(history: list[Operation]) -> bool:
    """Every order of every subset that holds all known operations."""
    known = [o for o in history if o.known]
    unknown = [o for o in history if not o.known]
    subsets = chain.from_iterable(combinations(unknown, n) for n in range(len(unknown) + 1))
    return any(explains(order) for some in subsets for order in permutations([*known, *some]))


def explains(order: tuple[Operation, ...]) -> bool:
    state = None
    for position, operation in enumerate(order):
        if any(later.returned < operation.called for later in order[position + 1 :]):
            return False
        possible, state = step(operation, state)
        if not possible:
            return False
    return True


values = st.sampled_from([b"1", b"2"])
seen_values = st.sampled_from([None, b"1", b"2"])


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    called = draw(st.integers(0, 12))
    returned = draw(st.one_of(st.integers(called + 1, 16), st.just(inf)))
    return Operation(
        draw(st.sampled_from(list(Kind))),
        called,
        returned,
        value=draw(values),
        expected=draw(seen_values),
        seen=draw(seen_values),
        holds=draw(st.booleans()),
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(operations(), max_size=5))
def test_the_checker_agrees_with_brute_force(history: list[Operation]) -> None:
    history = [o for o in history if o.known or o.kind is not Kind.READ]
    assert is_linearizable(history) == brute_force(history)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(values, st.integers(0, 5), st.booleans()), max_size=40))
def test_what_one_register_did_is_always_explained(steps: list[tuple[bytes, int, bool]]) -> None:
    """Calls overlap, take effect in order, and every third outcome is forgotten."""
    state: bytes | None = None
    history = []
    for moment, (value, spread, is_write) in enumerate(steps):
        called, returned = moment - spread * 0.9, moment + spread * 0.9
        if is_write:
            state = value
            lost = moment % 3 == 0
            history.append(write(value, called, inf if lost else returned))
        else:
            history.append(read(state, called, returned))
    order = explain(history)
    assert order is not None
