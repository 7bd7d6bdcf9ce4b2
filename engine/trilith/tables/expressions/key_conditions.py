"""Key conditions: the one partition key and the run of sort keys that a Query reads.

They come in two steps, because a table's key schema is known later than the request: `KeyTerms`
are the conditions by attribute name, and `for_schema` makes the `KeyCondition` of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from trilith.errors import InvalidRequest
from trilith.tables import values
from trilith.tables.key_codec import encode_key_value, joined, partition_stem, successor
from trilith.tables.values import Value
from trilith_native.codec import escape_bytes

NOT_SUPPORTED = "Query key condition not supported"
WRONG_TYPE = (
    "One or more parameter values were invalid: Condition parameter type does not match schema type"
)

_ALL_OF_PARTITION = (
    f"{NOT_SUPPORTED}: every HASH key attribute of the index must have an equality condition"
)
_SORT_FROM_THE_LEFT = (
    f"{NOT_SUPPORTED}: RANGE key attributes of the index must be used from the left on, all but "
    "the last with an equality condition"
)
TERMS_MAX = 2
TERMS_OF_COMPOSITE_MAX = 8
WITHIN = "within"  # from the first operand up to below the second, if there is one

RANGE_OPERATORS = frozenset({"=", "<", "<=", ">", ">=", "between", "begins_with"})


class KeyTerm(Struct, frozen=True, array_like=True):
    """`attribute operator operands`, the attribute on the left."""

    operator: str  # one of RANGE_OPERATORS, or WITHIN
    operands: tuple[Value, ...]


KeyTerms = dict[str, KeyTerm]


class KeyCondition(Struct, frozen=True, array_like=True):
    """One partition key and, optionally, a term on the sort key."""

    partition: Value
    sort: KeyTerm | None = None

    def key_range(self, prefix: bytes, *, shared: bool = False) -> tuple[bytes, bytes]:
        """The logical keys [start, end) of a table or index that satisfy it, all and only.

        `shared`: an index, where several items may have one sort key (key_codec.index_key).
        """
        stem = partition_stem(prefix, self.partition)
        if self.sort is None:
            return stem, successor(stem)
        operator = self.sort.operator
        bounds = [encode_key_value(operand) for operand in self.sort.operands]
        if operator == "begins_with":
            start = stem + (escape_bytes(bounds[0])[:-2] if shared else bounds[0])
            return start, successor(start)
        low = stem + (escape_bytes(bounds[0]) if shared else bounds[0])
        high = stem + (escape_bytes(bounds[-1]) if shared else bounds[-1])
        if operator == WITHIN:
            return low, high if len(bounds) > 1 else successor(stem)
        start = low if operator in {"=", ">=", "between"} else stem
        end = high if operator == "<" else _after(high, shared)
        if operator == ">":
            return _after(low, shared), successor(stem)
        return start, successor(stem) if operator == ">=" else end

    def refusal_of_start(self, partition: Value, sort: Value | None) -> str | None:
        """Why an ExclusiveStartKey with such keys cannot continue this query, in AWS's words; None
        if it can.
        """
        same_partition = partition == self.partition
        if self.sort is None:
            outside = (
                "The provided starting key is outside query boundaries based on provided conditions"
            )
            return None if same_partition else outside
        if sort is None or not term_holds(self.sort, sort):
            return "The provided starting key does not match the range key predicate"
        if not same_partition:
            return "The query can return at most one row and cannot be restarted"
        return None


def _after(key: bytes, shared: bool) -> bytes:
    """The least logical key above all entries with one sort key."""
    return successor(key) if shared else key + b"\x00"


def term_holds(term: KeyTerm, value: Value) -> bool:
    """Whether a sort key satisfies a term."""
    first = term.operands[0]
    if term.operator == "begins_with":
        return any(
            kind in value and kind in first and value[kind].startswith(first[kind])
            for kind in ("S", "B")
        )
    order = values.compare(value, first)
    if order is None:
        return False
    if term.operator == WITHIN:
        below = len(term.operands) == 1 or values.compare(value, term.operands[1]) == -1
        return order >= 0 and below
    if term.operator == "between":
        upper = values.compare(value, term.operands[1])
        return order >= 0 and upper is not None and upper <= 0
    return {
        "=": order == 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[term.operator]


def for_schema(
    terms: KeyTerms, partition: tuple[str, str], sort: tuple[str, str] | None
) -> KeyCondition:
    """Terms as a condition on a table or index whose key attributes (name, type) are given.

    InvalidRequest, in AWS's words, when they do not fit.
    """
    partition_name, partition_type = partition
    if len(terms) > TERMS_MAX:
        raise InvalidRequest("Conditions can be of length 1 or 2 only")
    if sort is None and len(terms) > 1:
        raise InvalidRequest(NOT_SUPPORTED)
    on_partition = terms.get(partition_name)
    if on_partition is None:
        raise InvalidRequest(f"Query condition missed key schema element: {partition_name}")
    _require_type(on_partition, partition_type)
    if on_partition.operator != "=":
        raise InvalidRequest(NOT_SUPPORTED)
    if sort is None or len(terms) == 1:
        return KeyCondition(on_partition.operands[0])
    sort_name, sort_type = sort
    on_sort = terms.get(sort_name)
    if on_sort is None:
        raise InvalidRequest(f"Query condition missed key schema element: {sort_name}")
    _require_type(on_sort, sort_type)
    return KeyCondition(on_partition.operands[0], on_sort)


def for_composite(
    terms: KeyTerms, partition: Sequence[tuple[str, str]], sort: Sequence[tuple[str, str]]
) -> KeyCondition:
    """Terms as a condition on an index some of whose keys are of several attributes (name, type):
    all of the partition key are equal to something, those of the sort key from the left on, the
    last that is named in any way.

    Source: AWS, "Multi-attribute key schema". Its words are not known; InvalidRequest, in ours.
    """
    left = dict(terms)
    values_of_partition: list[Value] = []
    for name, kind in partition:
        term = left.pop(name, None)
        if term is None or term.operator != "=":
            raise InvalidRequest(_ALL_OF_PARTITION)
        _require_type(term, kind)
        values_of_partition.append(term.operands[0])
    on_sort: list[KeyTerm] = []
    for name, kind in sort:
        term = left.pop(name, None)
        if term is None:
            break
        _require_type(term, kind)
        on_sort.append(term)
    if any(term.operator != "=" for term in on_sort[:-1]) or any(name in left for name, _ in sort):
        raise InvalidRequest(_SORT_FROM_THE_LEFT)
    if left:
        raise InvalidRequest(NOT_SUPPORTED)
    if len(sort) > 1:
        return KeyCondition(joined(values_of_partition), _joined_term(on_sort))
    return KeyCondition(joined(values_of_partition), on_sort[0] if on_sort else None)


def _joined_term(terms: list[KeyTerm]) -> KeyTerm | None:
    """Terms on the first attributes of a sort key as one on their joined values (key_codec.py)."""
    if not terms:
        return None
    *equal, last = terms
    prefix = b"".join([escape_bytes(encode_key_value(term.operands[0])) for term in equal])
    bounds = [prefix + escape_bytes(encode_key_value(operand)) for operand in last.operands]
    low, high = bounds[0], _above(bounds[-1])
    if last.operator == "begins_with":
        low = low[:-2]  # without the mark of the value's end
        high = _above(low)
    elif last.operator in {"<", "<="}:
        low, high = prefix, low if last.operator == "<" else high
    elif last.operator in {">", ">="}:
        low = successor(low) if last.operator == ">" else low
        high = _above(prefix)
    bytes_of = (low,) if high is None else (low, high)
    return KeyTerm(WITHIN, tuple([{"B": bound} for bound in bytes_of]))


def _above(prefix: bytes) -> bytes | None:
    """The end of what begins with `prefix`; None: nothing is above it."""
    return successor(prefix) if prefix.strip(b"\xff") else None


def _require_type(term: KeyTerm, kind: str) -> None:
    if any(kind not in operand for operand in term.operands):
        raise InvalidRequest(WRONG_TYPE)
    if term.operator == "begins_with" and kind == "N":
        raise InvalidRequest(NOT_SUPPORTED)
