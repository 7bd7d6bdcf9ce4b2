"""The S3 error type, and the total table from domain errors to S3's codes.

`S3Error` is raised by the protocol layer itself (authentication, parsing, bodies) and is not a
domain error: when a `Body.read()` raises one inside the object service, the service cleans up as
for any exception and lets it pass unchanged, so that the client gets the precise code.

Retries: SDKs retry on HTTP 500 and 503 alike. 503 says "not applied" (`Unavailable` and all under
it), 500 InternalError is kept for failures whose outcome may be unknown (`OutcomeUnknown`, our own
defects), as AWS does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trilith import errors
from trilith.errors import TrilithError
from trilith.s3.error_codes import STANDARD

Headers = Sequence[tuple[bytes, bytes]]

_RETRY_LATER: Headers = ((b"retry-after", b"1"),)


class S3Error(Exception):
    """An answer other than success, complete but for the request's own ids.

    `elements` are further children of <Error> in order (BucketName, StringToSign, ...); `headers`
    are further response headers (lower-case names).
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        elements: Mapping[str, object] | None = None,
        headers: Headers = (),
    ) -> None:
        status, standard_message = STANDARD[code]
        self.code = code
        self.status = status
        self.message = message or standard_message
        self.elements: Mapping[str, object] = elements or {}
        self.headers = headers
        super().__init__(f"{code}: {self.message}")

    def to_xml(self, request_id: str, host_id: str, resource: str) -> bytes:
        """The <Error> document. Its length is the content-length; HEAD answers leave it out."""
        parts = [
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>',
            self.code,
            "</Code><Message>",
            escape_text(self.message),
            "</Message>",
        ]
        parts += [
            f"<{name}>{escape_text(str(value))}</{name}>" for name, value in self.elements.items()
        ]
        parts.append(
            f"<Resource>{escape_text(resource)}</Resource><RequestId>{escape_text(request_id)}"
            f"</RequestId><HostId>{escape_text(host_id)}</HostId></Error>"
        )
        return "".join(parts).encode("utf-8", "replace")


class ClientDisconnectedError(S3Error):
    """The client went away before its body ended: nobody is left to read an answer."""

    def __init__(self) -> None:
        super().__init__("IncompleteBody")


def not_implemented(feature: str) -> S3Error:
    """501 that names what is missing: never a wrong success."""
    return S3Error("NotImplemented", f"{feature} is not implemented", elements={"Header": feature})


def invalid_argument(message: str, name: str, value: str) -> S3Error:
    """InvalidArgument as AWS answers it, with the argument's name and value."""
    return S3Error(
        "InvalidArgument", message, elements={"ArgumentName": name, "ArgumentValue": value}
    )


_NEEDS_ESCAPE = re.compile("[&<>\"'\\x00-\\x1f\\x7f\\ud800-\\udfff\\ufffe\\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\r": "&#13;"}


def escape_text(text: str) -> str:
    """XML 1.0 character data; characters that XML cannot carry become U+FFFD."""
    if _NEEDS_ESCAPE.search(text) is None:
        return text
    return _NEEDS_ESCAPE.sub(_escape_one, text)


def _escape_one(match: re.Match[str]) -> str:
    character = match[0]
    if character in "\n\t\x7f":
        return character
    return _ESCAPES.get(character, "\ufffd")


# Domain error -> (S3 code, whether the domain error's own message is shown instead of AWS's).
# A subclass that is not listed has its nearest ancestor's row, so the table is total.
_DOMAIN: dict[type[BaseException], tuple[str, bool]] = {
    TrilithError: ("InternalError", False),
    errors.CallerError: ("InvalidRequest", True),
    errors.InvalidRequest: ("InvalidRequest", True),
    errors.BucketNotFound: ("NoSuchBucket", False),
    errors.ObjectNotFound: ("NoSuchKey", False),
    errors.UploadNotFound: ("NoSuchUpload", False),
    errors.BucketAlreadyExists: ("BucketAlreadyExists", False),
    errors.BucketAlreadyOwned: ("BucketAlreadyOwnedByYou", False),
    errors.BucketNotEmpty: ("BucketNotEmpty", False),
    errors.PreconditionFailed: ("PreconditionFailed", False),
    errors.InvalidPart: ("InvalidPart", False),
    errors.InvalidPartOrder: ("InvalidPartOrder", False),
    errors.PartTooSmall: ("EntityTooSmall", False),
    errors.BodyMismatch: ("BadDigest", False),
    errors.IncompleteBody: ("IncompleteBody", False),
    errors.EntityTooLarge: ("EntityTooLarge", False),
    errors.AccessDenied: ("AccessDenied", False),
    errors.TransactionConflict: ("ServiceUnavailable", False),
    errors.TransactionInProgress: ("ServiceUnavailable", False),
    errors.Unavailable: ("ServiceUnavailable", False),
    errors.NotEnoughZones: ("ServiceUnavailable", True),
    errors.ConditionalConflict: ("ConditionalRequestConflict", False),
    errors.Overloaded: ("SlowDown", False),
    errors.DiskFull: ("ServiceUnavailable", True),
    errors.OutcomeUnknown: ("InternalError", True),
    errors.ServerError: ("InternalError", False),
}

# Facts of a domain error that callers may see, under AWS's element names.
_DETAIL_ELEMENTS = {
    "bucket": "BucketName",
    "key": "Key",
    "upload_id": "UploadId",
    "part_number": "PartNumber",
    "etag": "ETag",
    "condition": "Condition",
    "size": "ProposedSize",
    "min_size": "MinSizeAllowed",
    "max_size": "MaxSizeAllowed",
    "expected_digest": "ExpectedDigest",
    "calculated_digest": "CalculatedDigest",
}


def from_domain(error: TrilithError) -> S3Error:
    """The S3 answer to a domain error. Internal details never reach the caller."""
    for ancestor in type(error).__mro__:
        row = _DOMAIN.get(ancestor)
        if row is not None:
            break
    else:  # pragma: no cover - TrilithError itself is listed
        raise AssertionError(f"{type(error)} is not a domain error")
    code, own_message = row
    elements = {}
    if error.fault is errors.Fault.CALLER:
        details = error.details
        elements = {
            element: details[name] for name, element in _DETAIL_ELEMENTS.items() if name in details
        }
    message = error.message if own_message else ""
    headers = _RETRY_LATER if STANDARD[code][0] == 503 else ()
    return S3Error(code, message, elements=elements, headers=headers)


def from_exception(error: BaseException) -> S3Error:
    """The S3 answer to anything that was raised: an unlisted exception is an InternalError."""
    if isinstance(error, S3Error):
        return error
    if isinstance(error, TrilithError):
        return from_domain(error)
    return S3Error("InternalError")
