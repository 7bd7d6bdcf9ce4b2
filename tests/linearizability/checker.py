"""Is a history of concurrent calls on one register explained by some order of single steps?

Wing and Gong's search ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of
configurations ("Testing for Linearizability", 2017): a configuration is the set of calls already
placed and the value they left, and none is searched twice.

An operation whose outcome is unknown may have taken effect at any moment after its call, or never.
Operations known not to have taken effect do not belong into a history.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import inf

Value = bytes | None


class Kind(Enum):
    READ = "read"
    WRITE = "write"
    COMPARE_AND_SET = "cas"
    APPEND = "append"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call on the register. Times are any numbers that order calls and returns.

    `value`: written, appended, or expected to be found by a write under condition.
    `seen`: what the call answered: the value read, or the whole value after an append.
    `holds`: whether the condition of a COMPARE_AND_SET held; None for an unknown outcome.
    `returned` is infinite, and `seen` meaningless, when the outcome is unknown.
    """

    kind: Kind
    called: float
    returned: float
    value: Value = None
    expected: Value = None
    seen: Value = None
    holds: bool | None = True
    who: str = ""

    @property
    def known(self) -> bool:
        return self.returned != inf


def step(operation: Operation, state: Value) -> tuple[bool, Value]:
    """(whether the operation can come next in this state, the state that it leaves)."""
    kind = operation.kind
    if kind is Kind.READ:
        return operation.seen == state, state
    if kind is Kind.WRITE:
        return True, operation.value
    if kind is Kind.APPEND:
        after = (state or b"") + (operation.value or b"")
        return not operation.known or operation.seen == after, after
    held = state == operation.expected
    if operation.known and held != operation.holds:
        return False, state
    return True, operation.value if held else state


def is_linearizable(history: Iterable[Operation], initial: Value = None) -> bool:
    return explain(history, initial) is not None


def explain(history: Iterable[Operation], initial: Value = None) -> list[Operation] | None:
    """An order that explains the history, or None when there is none."""
    operations = sorted(
        (o for o in history if o.known or o.kind is not Kind.READ), key=lambda o: o.called
    )
    required = sum(1 << i for i, o in enumerate(operations) if o.known)
    count = len(operations)
    called = [o.called for o in operations]
    returned = [o.returned for o in operations]

    def candidates(placed: int) -> list[int]:
        """Operations called before the first return among those not placed yet."""
        deadline = inf
        found = []
        for i in range(count):
            if called[i] > deadline:
                break
            if not placed >> i & 1:
                found.append(i)
                deadline = min(deadline, returned[i])
        found = [i for i in found if called[i] <= deadline]
        # Unknown outcomes last: they are tried only when they must explain something.
        return sorted(found, key=lambda i: (returned[i] == inf, returned[i]))

    placed, state = 0, initial
    seen = {(placed, state)}
    choices = [iter(candidates(placed))]
    trail: list[tuple[int, int, Value]] = []
    while placed & required != required:
        for i in choices[-1]:
            possible, after = step(operations[i], state)
            following = placed | 1 << i
            if possible and (following, after) not in seen:
                seen.add((following, after))
                trail.append((i, placed, state))
                placed, state = following, after
                choices.append(iter(candidates(placed)))
                break
        else:
            choices.pop()
            if not trail:
                return None
            _, placed, state = trail.pop()
    return [operations[i] for i, _, _ in trail]
