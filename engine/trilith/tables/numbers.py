"""DynamoDB's numbers, exact: up to 38 significant digits, 1E-130 to 9.99...E+125.

A number is its *canonical text*: expanded, without exponent, superfluous zeros, plus sign or
negative zero (`+0012.3400e2` is `1234`). Two numbers are equal when their canonical texts are.
Never a float anywhere.

Source: AWS, "Supported data types and naming rules: Numbers"; the messages are the service's.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal

from trilith.errors import InvalidRequest

SIGNIFICANT_DIGITS_MAX = 38
MAGNITUDE_MAX = 125  # of the first significant digit
MAGNITUDE_MIN = -130

NOT_A_NUMBER = "The parameter cannot be converted to a numeric value"
OVERFLOW = (
    "Number overflow. Attempting to store a number with magnitude larger than supported range"
)
UNDERFLOW = (
    "Number underflow. Attempting to store a number with magnitude smaller than supported range"
)
TOO_PRECISE = "Attempting to store more than 38 significant digits in a Number"

_CANONICAL_INTEGER = re.compile(r"-?[1-9][0-9]{0,37}").fullmatch
# What most numbers are sent as: canonical already, and surely within every bound.
_CANONICAL = re.compile(
    r"-?(?:[1-9][0-9]{0,37}|(?:0|[1-9][0-9]{0,17})\.[0-9]{0,18}[1-9])|0"
).fullmatch
_ANY = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?)([0-9]+))?").fullmatch
_SHORT = 30  # digits: a sum of two such is canonical
_ABSURD_EXPONENT = 10**9  # beyond every bound, yet cheap to add to
# Sums and differences of two numbers in range are exact within 256 digits.
_EXACT = Context(prec=300)

_NEGATIVE, _ZERO, _POSITIVE = 1, 2, 3
_EXPONENT_BIAS = -MAGNITUDE_MIN
# Nines' complement of binary-coded decimal, so that larger magnitudes sort lower.
_NINES = bytes(0x99 - byte if byte >> 4 <= 9 and byte & 15 <= 9 else 0xFF for byte in range(256))
_NEGATIVE_END = b"\xff"  # above every complemented pair: a shorter negative number is the greater


is_canonical = _CANONICAL  # truth or None; a number may be canonical without being found so


def canonical(text: str) -> str:
    """The canonical text of a number; InvalidRequest in AWS's words when it is none."""
    if _CANONICAL(text):
        return text
    return _canonical_of_any(text)


def _canonical_of_any(text: str) -> str:
    match = _ANY(text)
    if match is None:
        raise InvalidRequest(f"{NOT_A_NUMBER}: {text}" if text else NOT_A_NUMBER)
    sign, whole, fraction, exponent_sign, exponent = match.groups()
    digits = whole + (fraction or "")
    if not digits:
        raise InvalidRequest(f"{NOT_A_NUMBER}: {text}" if text else NOT_A_NUMBER)
    point = len(whole) + _exponent_of(exponent_sign, exponent)
    significant = digits.lstrip("0")
    point -= len(digits) - len(significant)
    significant = significant.rstrip("0")
    if not significant:
        return "0"
    if point - 1 > MAGNITUDE_MAX:
        raise InvalidRequest(OVERFLOW)
    if point - 1 < MAGNITUDE_MIN:
        raise InvalidRequest(UNDERFLOW)
    if len(significant) > SIGNIFICANT_DIGITS_MAX:
        raise InvalidRequest(TOO_PRECISE)
    return _expanded(sign == "-", significant, point)


def _exponent_of(sign: str | None, digits: str | None) -> int:
    if not digits:
        return 0
    trimmed = digits.lstrip("0")
    value = int(trimmed or "0") if len(trimmed) <= 9 else _ABSURD_EXPONENT
    return -value if sign == "-" else value


def _expanded(negative: bool, digits: str, point: int) -> str:
    """`digits` with the decimal point before its digit number `point` (may lie outside)."""
    if point <= 0:
        text = "0." + "0" * -point + digits
    elif point >= len(digits):
        text = digits + "0" * (point - len(digits))
    else:
        text = f"{digits[:point]}.{digits[point:]}"
    return "-" + text if negative else text


def _parts(number: str) -> tuple[bool, str, int]:
    """Sign, significant digits, and magnitude of the first of them. Not for zero."""
    negative = number[0] == "-"
    whole, _, fraction = (number[1:] if negative else number).partition(".")
    if whole != "0":
        return negative, (whole + fraction).rstrip("0"), len(whole) - 1
    significant = fraction.lstrip("0")
    return negative, significant, len(significant) - len(fraction) - 1


def order_of(number: str) -> Decimal:
    """A value that sorts as the number does."""
    return Decimal(number)


def add(left: str, right: str) -> str:
    """The exact sum; InvalidRequest when it has no representation."""
    if len(left) < _SHORT and len(right) < _SHORT and left.isdigit() and right.isdigit():
        return str(int(left) + int(right))  # counters, mostly
    if _CANONICAL_INTEGER(left) and _CANONICAL_INTEGER(right):
        total = str(int(left) + int(right))
    else:
        total = str(_EXACT.add(Decimal(left), Decimal(right)))
    try:
        return canonical(total)
    except InvalidRequest as error:
        # AWS has this word for a sum of too many digits, too.
        raise InvalidRequest(OVERFLOW if error.message == TOO_PRECISE else error.message) from None


def subtract(left: str, right: str) -> str:
    """The exact difference; InvalidRequest when it has no representation."""
    return add(left, negated(right))


def negated(number: str) -> str:
    if number == "0":
        return number
    return number[1:] if number[0] == "-" else "-" + number


def size_of(number: str) -> int:
    """Stored bytes as AWS counts them: one, one for each pair of digits, one for a minus.

    Pairs are aligned at the decimal point, and pairs of zeros at the ends are not counted.
    """
    if number.isdigit():
        if number == "0":
            return 1
        count = len(number.rstrip("0"))
        return 1 + (count + 1) // 2 + (count % 2 == 0 and len(number) % 2 == 1)
    negative, digits, magnitude = _parts(number)
    pairs = (len(digits) + 1) // 2 + (len(digits) % 2 == 0 and magnitude % 2 == 0)
    return 1 + pairs + negative


def encode(number: str) -> bytes:
    """Bytes that sort as the numbers do: sign, exponent, then two digits a byte.

    Negative numbers hold the complement, and an end mark that makes the shorter one the greater.
    """
    if number == "0":
        return bytes((_ZERO,))
    negative, digits, magnitude = _parts(number)
    if len(digits) % 2:
        digits += "0"
    pairs = bytes.fromhex(digits)
    exponent = magnitude + _EXPONENT_BIAS
    if negative:
        return bytes((_NEGATIVE, 255 - exponent)) + pairs.translate(_NINES) + _NEGATIVE_END
    return bytes((_POSITIVE, exponent)) + pairs


def decode(encoded: bytes) -> str:
    """The canonical text of what `encode` returned."""
    sign = encoded[0]
    if sign == _ZERO:
        return "0"
    if sign == _NEGATIVE:
        pairs, exponent = encoded[2:-1].translate(_NINES), 255 - encoded[1]
    else:
        pairs, exponent = encoded[2:], encoded[1]
    digits = pairs.hex().rstrip("0")
    return _expanded(sign == _NEGATIVE, digits, exponent - _EXPONENT_BIAS + 1)
