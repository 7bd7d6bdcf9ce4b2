"""The kinds of shapes that requests are made of, and what each checks.

`convert` checks JSON types, as the service's deserializer does before anything else: it raises
SerializationException, leaves out nulls and unknown members, and returns what the operation sees.
`check` adds every broken constraint to `faults`, in AWS's words. Attribute values are left alone
by both: attribute_values.py brings them into canonical form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from trilith.dynamodb.attribute_values import (
    boolean_from_wire,
    not_a_scalar,
    require_short_name,
)
from trilith.dynamodb.errors import serialization
from trilith.iam.credentials import ROOT_ACCOUNT_ID

_PACKAGE = "com.amazonaws.dynamodb.v20120810."
_STRUCTURE = "Start of structure or map found where not expected"


def fault(value: Any, path: str, rule: str) -> str:
    """One broken constraint as the service words it."""
    return f"Value {_shown(value)} at '{path}' failed to satisfy constraint: {rule}"


def _shown(value: Any) -> str:
    return "null" if value is None else f"'{_bare(value)}'"


def _bare(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_bare, value)) + "]"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@cache
def lower_first(name: str) -> str:
    return name[0].lower() + name[1:]


_ACCEPTED_MAX = 256
_TABLE_ARN = re.compile(rf"arn:aws:dynamodb:[a-z0-9-]+:{ROOT_ACCOUNT_ID}:table/([a-zA-Z0-9_.-]+)")
_ACCEPTED_CHARACTERS_MAX = 255


class String:
    """Text with bounds, a pattern, or an enumeration."""

    def __init__(
        self,
        least: int | None = None,
        most: int | None = None,
        pattern: str | None = None,
        one_of: tuple[str, ...] = (),
    ) -> None:
        self.least = least
        self.most = most
        self.pattern = pattern
        self.one_of = one_of
        self._matches = None if pattern is None else re.compile(pattern).fullmatch
        self._accepted: set[str] = set()  # some that break no rule: tables' names come again

    def convert(self, value: Any, _shape: str) -> Any:
        if type(value) is not str:
            raise serialization(not_a_scalar(value, "String"))
        return value

    def rules_broken(self, value: str) -> list[str]:
        rules = []
        if self.one_of and value not in self.one_of:
            rules.append(f"Member must satisfy enum value set: [{', '.join(self.one_of)}]")
        if self._matches is not None and not self._matches(value):
            rules.append(f"Member must satisfy regular expression pattern: {self.pattern}")
        rules += _length_rules(len(value), self.least, self.most)
        return rules

    def all_rules(self) -> list[str]:
        """As messages about a map's keys list them."""
        rules = []
        if self.most is not None:
            rules.append(f"Member must have length less than or equal to {self.most}")
        if self.least is not None:
            rules.append(f"Member must have length greater than or equal to {self.least}")
        if self.pattern is not None:
            rules.append(f"Member must satisfy regular expression pattern: {self.pattern}")
        return rules

    def check(self, value: Any, path: str, faults: list[str]) -> None:
        if value in self._accepted:
            return
        broken = self.rules_broken(value)
        if broken:
            faults += [fault(value, path, rule) for rule in broken]
        elif len(self._accepted) < _ACCEPTED_MAX and len(value) <= _ACCEPTED_CHARACTERS_MAX:
            self._accepted.add(value)


class TableName(String):
    """A table's name. For the ARN of a table of this account, the name in it."""

    def convert(self, value: Any, shape: str) -> Any:
        return table_named(super().convert(value, shape))


def table_named(name_or_arn: str) -> str:
    """The name in the ARN of a table of this account; whatever else is given, as it is."""
    if name_or_arn.startswith("arn:"):
        named = _TABLE_ARN.fullmatch(name_or_arn)
        if named is not None:
            return named[1]
    return name_or_arn


class AttributeName(String):
    """An attribute's name: one that is too long has a message of its own."""

    def rules_broken(self, value: str) -> list[str]:
        require_short_name(value)
        return []


def _length_rules(length: int, least: int | None, most: int | None) -> list[str]:
    if least is not None and length < least:
        return [f"Member must have length greater than or equal to {least}"]
    if most is not None and length > most:
        return [f"Member must have length less than or equal to {most}"]
    return []


class Whole:
    """A whole number (the service cuts fractions off)."""

    def __init__(
        self, kind: str = "Integer", least: int | None = None, most: int | None = None
    ) -> None:
        self.kind = kind
        self.least = least
        self.most = most

    def convert(self, value: Any, _shape: str) -> Any:
        if type(value) is int:
            return value
        if type(value) is float:
            return int(value)
        raise serialization(not_a_scalar(value, self.kind))

    def check(self, value: Any, path: str, faults: list[str]) -> None:
        if self.least is not None and value < self.least:
            rule = f"Member must have value greater than or equal to {self.least}"
            faults.append(fault(value, path, rule))
        if self.most is not None and value > self.most:
            rule = f"Member must have value less than or equal to {self.most}"
            faults.append(fault(value, path, rule))


class Boolean:
    """True or false."""

    def convert(self, value: Any, _shape: str) -> Any:
        return boolean_from_wire(value)

    def check(self, _value: Any, _path: str, _faults: list[str]) -> None:
        """Nothing more."""


class Timestamp:
    """Seconds since 1970, whole or with a fraction."""

    def convert(self, value: Any, _shape: str) -> Any:
        if type(value) in (int, float):
            return value
        raise serialization(not_a_scalar(value, "Date"))

    def check(self, _value: Any, _path: str, _faults: list[str]) -> None:
        """Nothing more."""


class AnyValue:
    """An attribute value, a map or a list of them: checked by attribute_values.py."""

    def convert(self, value: Any, _shape: str) -> Any:
        return value

    def check(self, _value: Any, _path: str, _faults: list[str]) -> None:
        """Nothing more."""


class ListOf:
    """A list of `member`s."""

    def __init__(self, member: str, least: int | None = None, most: int | None = None) -> None:
        self.member = member
        self.least = least
        self.most = most

    def convert(self, value: Any, _shape: str) -> Any:
        if type(value) is not list:
            raise serialization(_STRUCTURE if type(value) is dict else "Unexpected field type")
        member = SHAPES[self.member]
        return [member.convert(one, self.member) for one in value if one is not None]

    def check(self, value: Any, path: str, faults: list[str]) -> None:
        faults += [
            fault(value, path, rule) for rule in _length_rules(len(value), self.least, self.most)
        ]
        member = SHAPES[self.member]
        for number, one in enumerate(value, 1):
            member.check(one, f"{path}.{number}.member", faults)


class MapOf:
    """A map from texts to `value`s."""

    def __init__(
        self, key: str, value: str, least: int | None = None, most: int | None = None
    ) -> None:
        self.key = key
        self.value = value
        self.least = least
        self.most = most

    def convert(self, value: Any, _shape: str) -> Any:
        if type(value) is list:
            content = (
                "java.lang.String"
                if isinstance(SHAPES[self.value], String)
                else (_PACKAGE + self.value)
            )
            raise serialization(
                f"Unrecognized collection type java.util.Map<java.lang.String, {content}>"
            )
        if type(value) is not dict:
            raise serialization("Unexpected field type")
        shape = SHAPES[self.value]
        return {
            key: shape.convert(one, self.value) for key, one in value.items() if one is not None
        }

    def check(self, value: Any, path: str, faults: list[str]) -> None:
        faults += [
            fault(value, path, rule) for rule in _length_rules(len(value), self.least, self.most)
        ]
        keys, shape = SHAPES[self.key], SHAPES[self.value]
        assert isinstance(keys, String)
        for key, one in value.items():
            if keys.rules_broken(keys.convert(key, self.key)):
                rule = f"Map keys must satisfy constraint: [{', '.join(keys.all_rules())}]"
                faults.append(fault(value, path, rule))
            shape.check(one, f"{path}.{key}.member", faults)


class Structure:
    """Named members, some of them required."""

    def __init__(self, members: Mapping[str, str], required: tuple[str, ...] = ()) -> None:
        self.members = members
        self.required = required

    def convert(self, value: Any, shape: str) -> Any:
        if type(value) is not dict:
            if type(value) is list:
                raise serialization(f"Unrecognized collection type class {_PACKAGE}{shape}")
            raise serialization("Unexpected value type in payload")
        converted = {}
        for name, one in value.items():
            member = self.members.get(name)
            if member is not None and one is not None:
                kind = SHAPES[member]
                plain = type(kind) is AnyValue
                converted[name] = one if plain else kind.convert(one, member)
        return converted

    def check(self, value: Any, path: str, faults: list[str]) -> None:
        prefix = path + "." if path else ""
        faults += [
            fault(None, prefix + lower_first(name), "Member must not be null")
            for name in self.required
            if name not in value
        ]
        for name, one in value.items():
            kind = SHAPES[self.members[name]]
            if type(kind) is not AnyValue:
                kind.check(one, prefix + lower_first(name), faults)


Shape = String | Whole | Boolean | Timestamp | AnyValue | ListOf | MapOf | Structure

# All shapes by botocore's names; request_shapes.py fills it.
SHAPES: dict[str, Shape] = {}
