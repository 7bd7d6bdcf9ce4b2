"""Which rule of a bucket's CORS configuration fits a request, and what it makes an answer say.

Pure. Source: S3 User Guide, "Using cross-origin resource sharing (CORS)"; the Fetch standard.
Origins, methods and names of headers are compared as S3 does: the first with regard to case, the
last without; a pattern has one `*` at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from trilith.objects.types import CorsRule
from trilith.s3.answer import Headers

METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})
VARY = b"Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def fitting_rule(
    rules: Sequence[CorsRule], origin: str, method: str, headers: Sequence[str] = ()
) -> CorsRule | None:
    """The first rule that allows all of it. `headers`: what a preflight asks for."""
    for rule in rules:
        if (
            method in rule.allowed_methods
            and any(fits(pattern, origin) for pattern in rule.allowed_origins)
            and all(_is_allowed(rule, name) for name in headers)
        ):
            return rule
    return None


def _is_allowed(rule: CorsRule, name: str) -> bool:
    lower = name.lower()
    return any(fits(pattern.lower(), lower) for pattern in rule.allowed_headers)


def fits(pattern: str, text: str) -> bool:
    """Whether a pattern, with one `*` at most, matches a whole text."""
    front, star, back = pattern.partition("*")
    if not star:
        return text == pattern
    return len(text) >= len(front) + len(back) and text.startswith(front) and text.endswith(back)


def allowing_headers(rule: CorsRule, origin: bytes, requested: Sequence[str] = ()) -> Headers:
    """What tells a browser that it may."""
    is_any = "*" in rule.allowed_origins
    headers: Headers = [
        (b"access-control-allow-origin", b"*" if is_any else origin),
        (b"access-control-allow-methods", ", ".join(rule.allowed_methods).encode()),
        (b"vary", VARY),
    ]
    if not is_any:
        headers.append((b"access-control-allow-credentials", b"true"))
    if requested:
        names = ", ".join(name.lower() for name in requested)
        headers.append((b"access-control-allow-headers", names.encode()))
    if rule.expose_headers:
        exposed = ", ".join(rule.expose_headers).encode()
        headers.append((b"access-control-expose-headers", exposed))
    if rule.max_age_s is not None:
        headers.append((b"access-control-max-age", b"%d" % rule.max_age_s))
    return headers
