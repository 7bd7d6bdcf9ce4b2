"""What msgspec raises for bytes that are not what they should be.

Not MsgspecError alone: text that is not UTF-8 is a UnicodeDecodeError, and values nested too deeply
(in fields that a newer release may have added, and that are skipped) are a RecursionError.
"""

from __future__ import annotations

from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
