"""What a request claims in its signature: parsing of the Authorization header and query parameters.

Pure parsing, no secrets and no clock. Texts of errors are S3's. Results are cached where clients
repeat them (everything but the signature itself), which is what keeps verification cheap.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from trilith.iam.signing_keys import TERMINATOR
from trilith.s3.errors import S3Error, invalid_argument

ALGORITHM = "AWS4-HMAC-SHA256"
ECDSA_ALGORITHM = "AWS4-ECDSA-P256-SHA256"
EXPIRES_SECONDS_MAX = 604_800
SKEW_MAX_MS = 15 * 60 * 1000

# Longer claims than these are parsed without the caches, which thereby stay small.
_CACHED_CHARACTERS_MAX = 1024

_EXPECTED_CREDENTIAL = (
    'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
)

Failure = Callable[[str], S3Error]


class SignedHeaders:
    """The SignedHeaders list: `prefixes` pairs each name with `name:`, in the order given."""

    __slots__ = ("names", "prefixes", "text")

    def __init__(self, text: str) -> None:
        # A presigned URL may name anything; what no header can be called, none is.
        self.text = text.encode("latin-1", "replace")
        ordered = self.text.lower().split(b";")
        self.prefixes = tuple((name, name + b":") for name in ordered)
        self.names = frozenset(ordered)


class Claims:
    """A parsed credential scope and list of signed headers. `date` is yyyymmdd."""

    __slots__ = ("access_key_id", "date", "region", "signed_headers")

    def __init__(
        self, access_key_id: str, date: str, region: str, signed_headers: SignedHeaders
    ) -> None:
        self.access_key_id = access_key_id
        self.date = date
        self.region = region
        self.signed_headers = signed_headers


def header_malformed(what: str) -> S3Error:
    return S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {what}")


def credential_parameter_malformed(what: str) -> S3Error:
    return S3Error(
        "AuthorizationQueryParametersError", f"Error parsing the X-Amz-Credential parameter; {what}"
    )


def query_malformed(what: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", what)


def wrong_region(failure: Failure, actual: str, expected: str) -> S3Error:
    """Names the right region in <Region> and, for HEAD, in a header: SDKs then sign for it."""
    error = failure(f"the region '{actual}' is wrong; expecting '{expected}'")
    error.elements = {"Region": expected}
    error.headers = ((b"x-amz-bucket-region", expected.encode()),)
    return error


def unsupported_mechanism(found: str) -> S3Error:
    return S3Error(
        "InvalidRequest",
        f"The authorization mechanism you have provided ({found}) is not supported. "
        f"Please use {ALGORITHM}.",
    )


def invalid_date() -> S3Error:
    return S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")


def too_skewed(request_time: str, now_ms: int) -> S3Error:
    """Of a request that was signed too long ago, or ahead of time."""
    return S3Error(
        "RequestTimeTooSkewed",
        elements={
            "RequestTime": request_time,
            "ServerTime": iso_instant(now_ms),
            "MaxAllowedSkewMilliseconds": SKEW_MAX_MS,
        },
    )


def expired(expires_ms: int, now_ms: int, parameters: dict[str, int]) -> S3Error:
    """Of a presigned URL; `parameters` that say when it ends are repeated."""
    return S3Error(
        "AccessDenied",
        "Request has expired",
        elements={
            **parameters,
            "Expires": iso_instant(expires_ms),
            "ServerTime": iso_instant(now_ms),
        },
    )


def parse_authorization(text: str) -> tuple[Claims, str]:
    """An Authorization header's claims and signature. Any order of its three components."""
    if not text.startswith(ALGORITHM):
        raise _foreign_scheme(text)
    prefix, found, signature = text.rpartition("Signature=")
    if found and "," not in signature and len(prefix) <= _CACHED_CHARACTERS_MAX:
        return _authorization_prefix(prefix), signature.strip()
    fields = _authorization_fields(text)
    return _claims_of_fields(fields), fields["Signature"]


@lru_cache(maxsize=1024)
def _authorization_prefix(prefix: str) -> Claims:
    return _claims_of_fields(_authorization_fields(prefix + "Signature=-"))


def _authorization_fields(text: str) -> dict[str, str]:
    fields = {}
    for component in text[len(ALGORITHM) :].split(","):
        name, equals, value = component.strip().partition("=")
        if not equals or not value:
            raise header_malformed(
                f'the authorization component "{component.strip()}" is malformed.'
            )
        fields[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if name not in fields:
            raise header_malformed(f"missing {name}.")
    return fields


def _claims_of_fields(fields: dict[str, str]) -> Claims:
    credential = split_credential(fields["Credential"], header_malformed)
    return Claims(*credential, signed_headers(fields["SignedHeaders"]))


def _foreign_scheme(text: str) -> S3Error:
    scheme = text.split(None, 1)[0] if text.strip() else ""
    if scheme.startswith(ECDSA_ALGORITHM):
        return unsupported_mechanism(f"{ECDSA_ALGORITHM}, Signature Version 4A")
    return invalid_argument("Unsupported Authorization Type", "Authorization", scheme)


def split_credential(text: str, failure: Failure) -> tuple[str, str, str]:
    """(access key id, date, region) of `AKID/date/region/s3/aws4_request`; an id may hold `/`."""
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or not parts[0]:
        raise failure(_EXPECTED_CREDENTIAL)
    access_key_id, date, region, service, terminator = parts
    if len(date) != 8 or not _is_number(date):
        raise failure(
            f'incorrect date format "{date}". This date in the credential must be in the format '
            '"yyyyMMdd".'
        )
    if service != "s3":
        raise failure(f'incorrect service "{service}". This endpoint belongs to "s3".')
    if terminator != TERMINATOR:
        raise failure(f'incorrect terminal "{terminator}". This endpoint uses "{TERMINATOR}".')
    return access_key_id, date, region


def signed_headers(text: str) -> SignedHeaders:
    if len(text) > _CACHED_CHARACTERS_MAX:
        return SignedHeaders(text)
    return _signed_headers(text)


_signed_headers = lru_cache(maxsize=256)(SignedHeaders)


def expires_seconds(text: str) -> int:
    """X-Amz-Expires, 1 to 604,800 seconds."""
    digits = text.removeprefix("-")
    if not _is_number(digits):
        raise query_malformed("X-Amz-Expires should be a number")
    if text.startswith("-"):
        raise query_malformed("X-Amz-Expires must be non-negative")
    if len(digits) > 9 or int(digits) > EXPIRES_SECONDS_MAX:
        raise query_malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires "
            "must be less than 604800 seconds"
        )
    if int(digits) == 0:
        raise query_malformed("X-Amz-Expires must be at least 1 second")
    return int(digits)


def _is_number(text: str) -> bool:
    """ASCII digits only; `isdigit` alone takes other scripts' digits too."""
    return text.isascii() and text.isdigit()


@lru_cache(maxsize=256)
def parse_timestamp(text: str) -> int:
    """Milliseconds since the epoch of `yyyyMMdd'T'HHmmss'Z'`. Raises ValueError."""
    digits = text[0:8] + text[9:15]
    if len(text) != 16 or text[8] != "T" or text[15] != "Z" or not _is_number(digits):
        raise ValueError(text)
    year, month, day = int(text[0:4]), int(text[4:6]), int(text[6:8])
    hour, minute, second = int(text[9:11]), int(text[11:13]), int(text[13:15])
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return calendar.timegm(moment.utctimetuple()) * 1000


def timestamp_of_date_header(text: str) -> str:
    """The Date header (RFC 9110, or already ISO 8601 basic) as `yyyyMMdd'T'HHmmss'Z'`."""
    try:
        parse_timestamp(text)
    except ValueError:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return format_timestamp(int(aware.timestamp()) * 1000)
    return text


def format_timestamp(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def iso_instant(milliseconds: int) -> str:
    """As the elements of error documents show instants."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
