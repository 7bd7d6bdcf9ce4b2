"""When an item expires: the meaning of a time-to-live attribute.

Source: AWS, "Using time to live (TTL) in DynamoDB": a Number, in seconds since 1970; items that are
over for more than five years are left alone.
"""

from __future__ import annotations

from decimal import Decimal

from trilith.tables.values import Item

FIVE_YEARS_S = 5 * 365 * 86_400
_TIME_MAX = 1 << 62
_DIGITS_MAX = 20  # of the whole part: more are no time


def expiry_of(item: Item, attribute: str) -> int | None:
    """The time in whole seconds; None when the item does not expire."""
    text = item.get(attribute, {}).get("N")
    if text is None:
        return None
    whole = text.partition(".")[0] if "E" not in text.upper() else str(int(Decimal(text)))
    if len(whole) > _DIGITS_MAX:
        return None
    seconds = int(whole)
    return seconds if 0 < seconds < _TIME_MAX else None
