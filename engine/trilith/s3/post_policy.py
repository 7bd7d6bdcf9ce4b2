"""POST policies: what the holder of a signed policy may upload.

Pure: a document and a form's fields in, the bounds of the file's length out. Source: S3 API
Reference, "Creating a POST policy". Field names are compared without regard to case.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from trilith.s3.errors import S3Error

# Fields that no condition need name: what signs, and the file itself.
_EXEMPT = frozenset({"awsaccesskeyid", "file", "policy", "signature", "x-amz-signature"})
_IGNORED = "x-ignore-"
_EXPIRATION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


class Lengths(NamedTuple):
    """Of the file, in bytes, inclusive."""

    bytes_min: int
    bytes_max: int


def check_policy(encoded: str, fields: Mapping[str, str], now_ms: int, bytes_max: int) -> Lengths:
    """Whether a policy, base64 as it was signed, allows these fields (names in lower case).

    `fields` hold `bucket`, and `key` with the file's name put in. Raises InvalidPolicyDocument, and
    AccessDenied: expired, a condition that does not hold, a field that no condition names.
    """
    document = _document(encoded)
    if _expires_ms(document) < now_ms:
        raise _denied("Policy expired.")
    conditions = document.get("conditions")
    if not isinstance(conditions, list):
        raise _invalid("Policy missing conditions.")
    named = set(_EXEMPT)
    lengths = Lengths(0, bytes_max)
    for condition in conditions:
        if isinstance(condition, list) and condition and _is(condition[0], "content-length-range"):
            lengths = _lengths(condition, bytes_max)
            continue
        for operator, name, value in _matches(condition):
            named.add(name)
            holds = _holds(operator, name, value, fields.get(name, ""))
            if not holds:
                shown = msgspec.json.encode([operator, f"${name}", value]).decode()
                raise _denied(f"Policy Condition failed: {shown}")
    extra = [n for n in fields if n not in named and not n.startswith(_IGNORED)]
    if extra:
        raise _denied(f"Extra input fields: {', '.join(sorted(extra))}")
    return lengths


def _holds(operator: str, name: str, value: str, given: str) -> bool:
    if operator != "starts-with":
        return given == value
    if name == "content-type" and "," in given:
        return all(one.strip().startswith(value) for one in given.split(","))
    return given.startswith(value)


def _document(encoded: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(b64decode(encoded, validate=True))
    except (Base64Error, ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    return document


def _expires_ms(document: dict[str, Any]) -> int:
    text = document.get("expiration")
    if text is None:
        raise _invalid("Policy missing expiration.")
    if not isinstance(text, str) or not text.isascii() or not _EXPIRATION.fullmatch(text):
        raise _invalid(f"Invalid 'expiration' value: '{text}'")
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise _invalid(f"Invalid 'expiration' value: '{text}'") from None
    return int(moment.timestamp() * 1000)


def _matches(condition: Any) -> list[tuple[str, str, str]]:
    """(operator, field in lower case, value) of a condition that is not about the length."""
    if isinstance(condition, dict) and condition:
        if all(isinstance(value, str) for value in condition.values()):
            return [("eq", name.lower(), value) for name, value in condition.items()]
    elif isinstance(condition, list) and len(condition) == 3:
        operator, name, value = condition
        good = all(isinstance(part, str) for part in condition) and name.startswith("$")
        if good and operator.lower() in ("eq", "starts-with"):
            return [(operator.lower(), name[1:].lower(), value)]
    raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property.")


def _lengths(condition: list[Any], bytes_max: int) -> Lengths:
    bounds = [str(bound) for bound in condition[1:]]  # numbers are sent as text, too
    if len(bounds) != 2 or not all(b.isascii() and b.isdigit() and len(b) <= 18 for b in bounds):
        raise _invalid("Invalid content-length-range: it has two bounds, numbers of bytes.")
    return Lengths(int(bounds[0]), min(int(bounds[1]), bytes_max))


def _is(value: Any, name: str) -> bool:
    return isinstance(value, str) and value.lower() == name


def _invalid(why: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {why}")


def _denied(why: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {why}")
