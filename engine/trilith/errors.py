"""The one tree of domain errors.

Lower floors raise these; each protocol maps them in one total table (a test walks every subclass).
An error class exists only where some caller acts on it. `TrilithError` carries what every protocol
needs to answer: a stable code, whether a retry may succeed, whether the request can have taken
effect, and whose fault it is.

    TrilithError
    ├── CallerError                      the request can never succeed as it is
    │   ├── InvalidRequest
    │   ├── BucketNotFound, ObjectNotFound, UploadNotFound
    │   ├── BucketAlreadyExists, BucketAlreadyOwned, BucketNotEmpty
    │   ├── PreconditionFailed, InvalidPart, InvalidPartOrder, PartTooSmall
    │   ├── TableNotFound, TableAlreadyExists, TableInUse, LimitExceeded
    │   ├── StreamNotFound, ChangesTrimmed
    │   ├── BodyMismatch (digest), IncompleteBody, EntityTooLarge
    │   ├── Unauthenticated, AccessDenied
    │   ├── IdempotentParameterMismatch, TransactionCancelled
    │   └── NotServed, ServiceNotFound
    ├── TransactionConflict, TransactionInProgress     not applied: a transaction is in the way
    ├── Unavailable                      not applied; retry, perhaps elsewhere
    │   ├── NotLeader, WrongRange, NotInSync, NotEnoughZones
    │   ├── ConditionalConflict, Overloaded, DiskFull, Stopping, PeerUnreachable
    │   ├── BucketClosed, ThroughputExceeded (IndexThroughputExceeded)
    │   ├── CoordinatorUnavailable, RevisionConflict
    │   └── DeadlineExceeded
    ├── OutcomeUnknown                   may have been applied; retry with the same token
    └── ServerError                      our fault
        ├── Corruption, StorageFailure, DataDirectoryUnusable
        └── InternalError
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar


class Outcome(StrEnum):
    """What is known of a failed mutation."""

    NOT_APPLIED = "not_applied"
    UNKNOWN = "unknown"


class Fault(StrEnum):
    """Whose mistake an error is."""

    CALLER = "caller"
    SERVER = "server"


_BY_CODE: dict[str, type[TrilithError]] = {}


class TrilithError(Exception):
    """Base of every error that the engine raises on purpose.

    `details` are JSON-compatible facts about this occurrence (names, sizes), which travel between
    nodes and may be shown to callers.
    """

    code: ClassVar[str] = "TrilithError"
    retryable: ClassVar[bool] = False
    outcome: ClassVar[Outcome] = Outcome.NOT_APPLIED
    fault: ClassVar[Fault] = Fault.SERVER

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message or (type(self).__doc__ or self.code).splitlines()[0])
        self.details = details

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = cls.__name__
        if cls.code in _BY_CODE:
            raise TypeError(f"two error classes share the code {cls.code}")
        _BY_CODE[cls.code] = cls

    @property
    def message(self) -> str:
        return str(self)


class CallerError(TrilithError):
    """The request can never succeed as it is."""

    fault = Fault.CALLER


class InvalidRequest(CallerError):
    """An argument is malformed or out of bounds."""


class BucketNotFound(CallerError):
    """The bucket does not exist."""


class ObjectNotFound(CallerError):
    """The object does not exist."""


class UploadNotFound(CallerError):
    """The multipart upload does not exist: it was completed or aborted."""


class BucketAlreadyExists(CallerError):
    """The bucket name is taken by another account."""


class BucketAlreadyOwned(CallerError):
    """The bucket exists and belongs to the caller."""


class BucketNotEmpty(CallerError):
    """The bucket still holds objects or uploads."""


class PreconditionFailed(CallerError):
    """A condition of the request does not hold."""


class InvalidPart(CallerError):
    """A listed part is missing or its ETag differs."""


class InvalidPartOrder(CallerError):
    """The parts of a multipart upload are not in ascending order."""


class PartTooSmall(CallerError):
    """A part other than the last is under 5 MiB."""


class TableNotFound(CallerError):
    """Requested resource not found"""


class TableAlreadyExists(CallerError):
    """A table of this name exists or is being deleted."""


class TableInUse(CallerError):
    """The table, or its index, is being deleted."""


class LimitExceeded(CallerError):
    """Another change of the table is under way, or it has all that it may have of something."""


class StreamNotFound(CallerError):
    """There is no such stream or shard, or it is no longer kept."""


class ChangesTrimmed(CallerError):
    """Changes that were not read yet are older than a day, and no longer kept."""


class BodyMismatch(CallerError):
    """The body's digest is not the one that the caller announced."""


class IncompleteBody(CallerError):
    """The body ended before its announced length."""


class EntityTooLarge(CallerError):
    """The body is larger than the operation allows."""


class Unauthenticated(CallerError):
    """The caller has not proven who it is."""


class AccessDenied(CallerError):
    """The caller may not do this."""


class NotServed(CallerError):
    """This version does not serve the operation."""


class ServiceNotFound(CallerError):
    """This node has no service of that name."""


class IdempotentParameterMismatch(CallerError):
    """The client token was used before, for another transaction."""


class TransactionCancelled(CallerError):
    """A part of the transaction cannot be done: nothing was.

    `details["reasons"]`: a code for each part in order, "None" where it could have been done.
    """


class TransactionConflict(TrilithError):
    """A transaction is about to change the item; `details` name its lock between nodes.

    Not applied. Not Unavailable: asking the partition again helps only once the lock is resolved.
    """

    retryable = True


class TransactionInProgress(TrilithError):
    """A transaction with the same client token is under way."""

    retryable = True


class Unavailable(TrilithError):
    """Not applied; a retry may succeed, perhaps on another node."""

    retryable = True


class NotLeader(Unavailable):
    """This replica does not lead the partition. `details["leader"]` names the node that may."""


class WrongRange(Unavailable):
    """The key is not in this partition's range: the router's map is stale."""


class NotInSync(Unavailable):
    """This replica cannot prove that its data is current."""


class NotEnoughZones(Unavailable):
    """Fewer than two zones are in sync: writes and consistent reads are refused."""


class ConditionalConflict(Unavailable):
    """A concurrent change got in between; evaluate the request anew."""


class BucketClosed(Unavailable):
    """The bucket is being deleted: the object service asks for its record and decides anew."""


class Overloaded(Unavailable):
    """A bounded queue is full; slow down."""


class DiskFull(Unavailable):
    """A disk has no room for the write; nothing of it was kept."""


class Stopping(Unavailable):
    """The node is shutting down."""


class PeerUnreachable(Unavailable):
    """The other node cannot be reached and has not seen the request."""


class CoordinatorUnavailable(Unavailable):
    """The coordinator cannot be reached."""


class RevisionConflict(Unavailable):
    """The coordinator's key changed meanwhile: read it again and decide anew."""


class ThroughputExceeded(Unavailable):
    """The table's provisioned throughput, or one partition's share of it, is used up."""


class IndexThroughputExceeded(ThroughputExceeded):
    """Global indexes are too far behind the table's writes."""


class DeadlineExceeded(Unavailable):
    """The deadline passed before the request took any effect."""


class OutcomeUnknown(TrilithError):
    """The request may or may not have been applied; retry it with the same token."""

    retryable = True
    outcome = Outcome.UNKNOWN


class ServerError(TrilithError):
    """Our fault."""


class Corruption(ServerError):
    """Stored bytes do not match their checksum."""


class StorageFailure(ServerError):
    """The disk failed a write or a sync: the node stops, because a retried sync lies."""

    outcome = Outcome.UNKNOWN


class DataDirectoryUnusable(ServerError):
    """The data directory is of a newer format, of another node, or in use by another process."""


class InternalError(ServerError):
    """A defect; the log holds its traceback under the request id."""

    outcome = Outcome.UNKNOWN


def to_wire(error: TrilithError) -> tuple[str, str, dict[str, Any]]:
    """Code, message and details of an error, for another node."""
    return error.code, error.message, error.details


def from_wire(code: str, message: str, details: dict[str, Any]) -> TrilithError:
    """The error that another node raised. An unknown code (a newer node's) is an InternalError."""
    error = _BY_CODE.get(code, InternalError)(message)
    error.details = details  # not as keywords: a peer may name them anything
    return error


def all_error_types() -> list[type[TrilithError]]:
    """Every error class, for the tests that prove protocol tables total."""
    return list(_BY_CODE.values())
