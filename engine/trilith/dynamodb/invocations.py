"""Retries of AWS's SDKs, known by what they send with every attempt of a call.

`amz-sdk-invocation-id` names the call, `amz-sdk-request` counts its attempts ("attempt=2; max=5").
The writes of a call are recorded under a token made of its name and its body, and a later attempt
is answered from that record: an ADD counts once though a zone died under it, and a condition does
not fail by what the call itself has written. AWS promises neither.

A first attempt looks nothing up, unless it had to wait here and may have been overtaken. So a
request that somebody replays as it is, headers and all, is applied each time, as with AWS; and so
is a first attempt that is overtaken before it is here, or between here and the leader.

A token holds the time of its first attempt, and no attempt tells the others': it is the beginning
of the SPAN_MS in which an attempt is made. A retry that falls into the next one is not known as
such, and applied as AWS would apply it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from trilith.tables.service import CallerToken

# All of these and the pauses between them fit into the time that the engine remembers tokens.
SPAN_MS = 8 * 60 * 1000
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"})
_NAME_BYTES_MAX = 64
_ATTEMPT = re.compile(rb"(?:^|;)\s*attempt=(\d{1,4})\s*(?:;|$)")


def token_of(headers: Mapping[bytes, bytes], body: bytes, now_ms: int) -> CallerToken | None:
    """Of a request with these headers (names in lower case); None: not known to be of an SDK."""
    name = headers.get(b"amz-sdk-invocation-id")
    if name is None or not 0 < len(name) <= _NAME_BYTES_MAX:
        return None
    attempt = _ATTEMPT.search(headers.get(b"amz-sdk-request", b""))
    if attempt is None:
        return None
    began_ms = now_ms - now_ms % SPAN_MS
    digest = hashlib.sha256(b"%b\n%b" % (name, body)).digest()  # no header has a line break
    return CallerToken(began_ms.to_bytes(6, "big") + digest[:10], is_new=int(attempt[1]) <= 1)
