"""Signature Version 4 as DynamoDB takes it: in the Authorization header, over the whole body.

Source: AWS General Reference, "Create a signed AWS API request"; names and texts of errors are the
service's. Must not know: tables, operations, policies.
"""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from trilith.dynamodb.errors import DynamoDBError
from trilith.iam.credentials import CredentialSource, Identity
from trilith.iam.signing_keys import TERMINATOR, SigningKey, SigningKeys
from trilith.runtime.clock import Clock
from trilith_native.sigv4 import request_signature

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "dynamodb"
SKEW_MAX_MS = 15 * 60 * 1000
_PREFIX_MAX = 1024  # longer claims are parsed without the cache
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)
_SEPARATORS = re.compile(r"[,\s]+").split  # AWS takes commas, spaces, or both


class Claims:
    """What an Authorization header says but for the signature."""

    __slots__ = (
        "access_key_id",
        "date",
        "region",
        "scope_fault",
        "signed_names",
        "signed_text",
        "signs",
    )

    def __init__(
        self,
        access_key_id: str,
        date: str,
        region: str,
        signed_headers: str,
        scope_fault: str,
    ) -> None:
        """`scope_fault`: what is wrong with the credential's scope but for date and region."""
        self.scope_fault = scope_fault
        self.access_key_id = access_key_id
        self.date = date
        self.region = region
        self.signed_text = signed_headers.encode("latin-1")
        ordered = self.signed_text.lower().split(b";")
        self.signed_names = tuple((name, name + b":") for name in ordered)
        self.signs = frozenset(ordered)


class Presented:
    """Claims of one request whose key is known; its body is still to come."""

    __slots__ = ("claims", "identity", "key", "signature", "timestamp")

    def __init__(self, claims: Claims, key: SigningKey, timestamp: str, signature: str) -> None:
        self.claims = claims
        self.key = key
        self.timestamp = timestamp.encode("latin-1")
        self.signature = signature
        self.identity: Identity = key.credential.identity


def incomplete(message: str) -> DynamoDBError:
    return DynamoDBError("IncompleteSignatureException", message)


def invalid(message: str) -> DynamoDBError:
    return DynamoDBError("InvalidSignatureException", message)


class Authenticator:
    """Verifies signatures for one region, in two steps: before the body is read, and after."""

    def __init__(
        self,
        credentials: CredentialSource,
        clock: Clock,
        *,
        region: str,
        signing_keys: SigningKeys | None = None,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._region = region
        self._keys = signing_keys or SigningKeys()

    def present(self, header_map: dict[bytes, bytes]) -> Presented:
        """Who says to have sent the request. Raises DynamoDBError."""
        header = header_map.get(b"authorization")
        if not header:
            raise DynamoDBError(
                "MissingAuthenticationTokenException", "Request is missing Authentication Token"
            )
        text = header.decode("latin-1")
        prefix, found, signature = text.rpartition("Signature=")
        if found and "," not in signature and len(prefix) <= _PREFIX_MAX:
            claims = _claims_of_prefix(prefix)
        else:
            claims, signature = _parse(text)
        timestamp = self._timestamp(header_map)
        if claims.scope_fault:
            raise invalid(claims.scope_fault)
        if claims.region != self._region:
            raise invalid(f"Credential should be scoped to a valid region, not '{claims.region}'. ")
        credential = self._credentials.find(claims.access_key_id)
        token = header_map.get(b"x-amz-security-token")
        if credential is None or (
            (token is not None or credential.session_token is not None)
            and not _is_token(credential.session_token, token)
        ):
            raise DynamoDBError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        if not timestamp.startswith(claims.date):
            raise invalid(
                f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
                f"from HTTP: '{claims.date}' != '{timestamp[:8]}', from '{timestamp}'."
            )
        key = self._keys.get(credential, claims.date, claims.region, SERVICE)
        return Presented(claims, key, timestamp, signature.strip())

    def _timestamp(self, header_map: dict[bytes, bytes]) -> str:
        """X-Amz-Date, unless it is too far from now. AWS looks at it before the credential."""
        raw = header_map.get(b"x-amz-date")
        if raw is None:
            raise incomplete(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' "
                "header."
            )
        text = raw.decode("latin-1")
        try:
            signed_ms = _milliseconds(text)
        except ValueError:
            raise incomplete(
                f"Date must be in ISO-8601 'basic format'. Got '{text}'. "
                "See http://en.wikipedia.org/wiki/ISO_8601"
            ) from None
        now_ms = self._clock.wall_ms()
        if signed_ms < now_ms - SKEW_MAX_MS:
            limit = _basic(now_ms - SKEW_MAX_MS)
            raise invalid(
                f"Signature expired: {text} is now earlier than {limit} "
                f"({_basic(now_ms)} - 15 min.)"
            )
        if signed_ms > now_ms + SKEW_MAX_MS:
            limit = _basic(now_ms + SKEW_MAX_MS)
            raise invalid(
                f"Signature not yet current: {text} is still later than {limit} "
                f"({_basic(now_ms)} + 15 min.)"
            )
        return text


def verify(
    presented: Presented,
    method: str,
    raw_path: bytes,
    query_string: bytes,
    header_map: dict[bytes, bytes],
    body: bytes,
) -> None:
    """Raises InvalidSignatureException unless the signature is of this very request."""
    claims = presented.claims
    path = raw_path if raw_path == b"/" else _canonical_path(raw_path)
    query = _canonical_query(query_string) if query_string else b""
    expected = request_signature(
        presented.key.state,
        method.encode(),
        path,
        query,
        claims.signed_names,
        claims.signed_text,
        header_map,
        body,
        presented.timestamp,
        presented.key.scope,
    )
    if not hmac.compare_digest(expected, presented.signature.encode("utf-8", "replace")):
        raise invalid(_MISMATCH)
    # What is not signed could have been added by anyone on the way.
    signed = claims.signs
    if b"host" not in signed or (b"x-amz-target" in header_map and b"x-amz-target" not in signed):
        raise invalid("'Host' and 'X-Amz-Target' must be 'SignedHeaders' in the AWS Authorization.")


def _canonical_path(raw_path: bytes) -> bytes:
    # Everywhere but in S3 the path is encoded twice.
    once = quote_from_bytes(unquote_to_bytes(raw_path), safe="/-._~").encode()
    return quote_from_bytes(once, safe="/-._~").encode()


def _canonical_query(query_string: bytes) -> bytes:
    pairs = []
    for part in query_string.split(b"&"):
        name, _, value = part.partition(b"=")
        pairs.append(
            tuple(quote_from_bytes(unquote_to_bytes(x), safe="-._~") for x in (name, value))
        )
    return "&".join(f"{name}={value}" for name, value in sorted(pairs)).encode()


@lru_cache(maxsize=1024)
def _claims_of_prefix(prefix: str) -> Claims:
    return _parse(prefix + "Signature=-")[0]


def _parse(text: str) -> tuple[Claims, str]:
    scheme, _, rest = text.partition(" ")
    if scheme != ALGORITHM:
        raise incomplete(f"Unsupported AWS 'algorithm': '{scheme}', Authorization={scheme}")
    fields: dict[str, str] = {}
    for component in _SEPARATORS(rest):
        name, equals, value = component.partition("=")
        if equals:
            fields[name] = value
    missing = [
        name for name in ("Credential", "Signature", "SignedHeaders") if not fields.get(name)
    ]
    if missing:
        needs = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
        raise incomplete(needs)
    parts = fields["Credential"].rsplit("/", 4)
    if len(parts) != 5 or not parts[0]:
        raise incomplete(
            "Credential must have exactly 5 slash-delimited elements, "
            "e.g. keyid/date/region/service/term"
        )
    access_key_id, date, region, service, terminator = parts
    fault = ""
    if service != SERVICE:
        fault = f"Credential should be scoped to correct service: '{SERVICE}'. "
    elif terminator != TERMINATOR:
        fault = f"Credential should be scoped with a valid terminator: '{TERMINATOR}'. "
    claims = Claims(access_key_id, date, region, fields["SignedHeaders"], fault)
    return claims, fields["Signature"]


def _is_token(expected: str | None, given: bytes | None) -> bool:
    if expected is None or given is None:
        return expected is None and given is None
    return hmac.compare_digest(expected.encode(), given)


@lru_cache(maxsize=256)
def _milliseconds(text: str) -> int:
    """Of `yyyyMMdd'T'HHmmss'Z'`. Raises ValueError."""
    if len(text) != 16 or not text.isascii():
        raise ValueError(text)
    moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1000


def _basic(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
