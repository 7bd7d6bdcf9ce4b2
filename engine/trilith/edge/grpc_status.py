"""The total table from domain errors to gRPC status codes, and what travels beside the code.

Trailing metadata of a failed call: `trilith-code` (the class of errors.py), `trilith-retryable`
(true, false), `trilith-outcome` (not_applied, unknown), `trilith-request-id`, and
`trilith-details-bin`, the error's details in JSON where they are small. UNAVAILABLE, ABORTED and
RESOURCE_EXHAUSTED were surely not applied; UNKNOWN and INTERNAL may have been.

Source: gRPC, "Status codes and their use in gRPC".
"""

from __future__ import annotations

import grpc
import msgspec

from trilith import errors
from trilith.errors import TrilithError

DETAILS_BYTES_MAX = 4096  # clients accept 8 KiB of metadata

Trailer = tuple[tuple[str, str | bytes], ...]

# A subclass that is not listed has its nearest ancestor's row, so the table is total.
_STATUS: dict[type[BaseException], grpc.StatusCode] = {
    TrilithError: grpc.StatusCode.INTERNAL,
    errors.CallerError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.BucketNotFound: grpc.StatusCode.NOT_FOUND,
    errors.ObjectNotFound: grpc.StatusCode.NOT_FOUND,
    errors.UploadNotFound: grpc.StatusCode.NOT_FOUND,
    errors.TableNotFound: grpc.StatusCode.NOT_FOUND,
    errors.StreamNotFound: grpc.StatusCode.NOT_FOUND,
    errors.ChangesTrimmed: grpc.StatusCode.OUT_OF_RANGE,
    errors.TableInUse: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LimitExceeded: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ServiceNotFound: grpc.StatusCode.NOT_FOUND,
    errors.BucketAlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.BucketAlreadyOwned: grpc.StatusCode.ALREADY_EXISTS,
    errors.TableAlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.BucketNotEmpty: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PreconditionFailed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.TransactionCancelled: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.AccessDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotServed: grpc.StatusCode.UNIMPLEMENTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.ConditionalConflict: grpc.StatusCode.ABORTED,
    errors.TransactionConflict: grpc.StatusCode.ABORTED,
    errors.TransactionInProgress: grpc.StatusCode.ABORTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ThroughputExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DiskFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.OutcomeUnknown: grpc.StatusCode.UNKNOWN,
    errors.ServerError: grpc.StatusCode.INTERNAL,
    errors.Corruption: grpc.StatusCode.DATA_LOSS,
}


def status_of(error: TrilithError) -> grpc.StatusCode:
    for ancestor in type(error).__mro__:
        status = _STATUS.get(ancestor)
        if status is not None:
            return status
    raise AssertionError("every domain error descends from TrilithError")


def trailer_of(error: TrilithError, request_id: str) -> Trailer:
    """The trailing metadata that says the whole error."""
    trailer: Trailer = (
        ("trilith-code", error.code),
        ("trilith-retryable", "true" if error.retryable else "false"),
        ("trilith-outcome", str(error.outcome)),
        ("trilith-request-id", request_id),
    )
    if error.details:
        details = msgspec.json.encode(error.details)
        if len(details) <= DETAILS_BYTES_MAX:
            trailer += (("trilith-details-bin", details),)
    return trailer
