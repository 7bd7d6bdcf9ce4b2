"""Key conditions: the one partition key and the run of sort keys that a Query reads.

They come in two steps, because a table's key schema is known later than the request: `KeyTerms`
are the conditions by attribute name, and `for_schema` makes the `KeyCondition` of them.
"""

from __future__ import annotations

from msgspec import Struct

from trilith.errors import InvalidRequest
from trilith.tables import values
from trilith.tables.key_codec import encode_key_value, partition_stem, successor
from trilith.tables.values import Item, Value
from trilith_native.codec import escape_bytes

NOT_SUPPORTED = "Query key condition not supported"
WRONG_TYPE = (
    "One or more parameter values were invalid: Condition parameter type does not match schema type"
)

RANGE_OPERATORS = frozenset({"=", "<", "<=", ">", ">=", "between", "begins_with"})


class KeyTerm(Struct, frozen=True, array_like=True):
    """`attribute operator operands`, the attribute on the left."""

    operator: str  # one of RANGE_OPERATORS
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
        start = low if operator in {"=", ">=", "between"} else stem
        end = high if operator == "<" else _after(high, shared)
        if operator == ">":
            return _after(low, shared), successor(stem)
        return start, successor(stem) if operator == ">=" else end

    def refusal_of_start(self, key: Item, partition_name: str, sort_name: str | None) -> str | None:
        """Why an ExclusiveStartKey cannot continue this query, in AWS's words; None if it can."""
        same_partition = key.get(partition_name) == self.partition
        if self.sort is None or sort_name is None:
            outside = (
                "The provided starting key is outside query boundaries based on provided conditions"
            )
            return None if same_partition else outside
        value = key.get(sort_name)
        if value is None or not term_holds(self.sort, value):
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


def _require_type(term: KeyTerm, kind: str) -> None:
    if any(kind not in operand for operand in term.operands):
        raise InvalidRequest(WRONG_TYPE)
    if term.operator == "begins_with" and kind == "N":
        raise InvalidRequest(NOT_SUPPORTED)
