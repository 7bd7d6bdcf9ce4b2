"""The DynamoDB error type, and the total table from domain errors to DynamoDB's exceptions.

Retries: SDKs retry HTTP 500, 503 and the throttling exceptions. `InternalServerError` (500) is kept
for failures whose outcome may be unknown; what was surely not applied answers 503 or a throttle.

Source: AWS, "Error handling with DynamoDB"; the prefixes of `__type` are those of the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trilith import errors
from trilith.errors import TrilithError

_CORAL_VALIDATE = "com.amazon.coral.validate#"
_CORAL_SERVICE = "com.amazon.coral.service#"
_SERVICE = "com.amazonaws.dynamodb.v20120810#"

_PREFIXES = {
    "ValidationException": _CORAL_VALIDATE,
    "SerializationException": _CORAL_SERVICE,
    "UnknownOperationException": _CORAL_SERVICE,
    "AccessDeniedException": _CORAL_SERVICE,
    "UnrecognizedClientException": _CORAL_SERVICE,
    "MissingAuthenticationTokenException": _CORAL_SERVICE,
    "InvalidSignatureException": _CORAL_SERVICE,
    "IncompleteSignatureException": _CORAL_SERVICE,
    "ServiceUnavailableException": _CORAL_SERVICE,
    "ThrottlingException": _CORAL_SERVICE,
}
_STATUSES = {"InternalServerError": 500, "ServiceUnavailableException": 503}

CONDITION_FAILED = "The conditional request failed"
THROUGHPUT_EXCEEDED = (
    "The level of configured provisioned throughput for the table was exceeded. Consider "
    "increasing your provisioning level with the UpdateTable API."
)
INDEX_THROUGHPUT_EXCEEDED = (
    "The level of configured provisioned throughput for one or more global secondary indexes of "
    "the table was exceeded. Consider increasing your provisioning level for the "
    "under-provisioned global secondary indexes with the UpdateTable API"
)
TRIMMED = "The operation attempted to read past the oldest stream record in a shard."
TRANSACTION_ONGOING = "Transaction is ongoing for the item"


class DynamoDBError(Exception):
    """An answer other than success. `fields` are further members of the body (Item, ...)."""

    def __init__(self, name: str, message: str, **fields: Any) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.status = _STATUSES.get(name, 400)
        self.fields: Mapping[str, Any] = fields

    @property
    def type(self) -> str:
        """The `__type` of the body."""
        return _PREFIXES.get(self.name, _SERVICE) + self.name

    def to_json(self) -> bytes:
        """The body. Fields whose value is None are left out."""
        body = {"__type": self.type, "message": self.message}
        body.update((name, value) for name, value in self.fields.items() if value is not None)
        return msgspec.json.encode(body)


def validation(message: str) -> DynamoDBError:
    """A request that breaks a rule."""
    return DynamoDBError("ValidationException", message)


def table_not_found(name: str) -> DynamoDBError:
    """As the operations on tables word it; those on items do not say which table."""
    return DynamoDBError(
        "ResourceNotFoundException", f"Requested resource not found: Table: {name} not found"
    )


def serialization(message: str) -> DynamoDBError:
    """A body that is no JSON, or of other JSON types than the operation's."""
    return DynamoDBError("SerializationException", message)


def unsupported(operation: str) -> DynamoDBError:
    """An operation of DynamoDB that is not served."""
    return DynamoDBError("UnknownOperationException", f"{operation} is not supported")


# Domain error -> (exception, its message; None: the domain error's own).
# A subclass that is not listed has its nearest ancestor's row, so the table is total.
_DOMAIN: dict[type[BaseException], tuple[str, str | None]] = {
    TrilithError: ("InternalServerError", "Internal server error"),
    errors.CallerError: ("ValidationException", None),
    errors.AccessDenied: ("AccessDeniedException", None),
    errors.EntityTooLarge: ("ValidationException", None),
    errors.PreconditionFailed: ("ConditionalCheckFailedException", CONDITION_FAILED),
    errors.TableNotFound: ("ResourceNotFoundException", None),
    errors.TableAlreadyExists: ("ResourceInUseException", None),
    errors.IdempotentParameterMismatch: (
        "IdempotentParameterMismatchException",
        "Request parameters do not match the parameters of an earlier request with this token",
    ),
    errors.TransactionConflict: ("TransactionConflictException", TRANSACTION_ONGOING),
    errors.TransactionInProgress: (
        "TransactionInProgressException",
        "The transaction with the given request token is already in progress",
    ),
    errors.Unavailable: (
        "ServiceUnavailableException",
        "Service is temporarily unable to handle the request",
    ),
    errors.Overloaded: ("ThrottlingException", "Rate exceeded"),
    errors.ThroughputExceeded: ("ProvisionedThroughputExceededException", THROUGHPUT_EXCEEDED),
    errors.IndexThroughputExceeded: (
        "ProvisionedThroughputExceededException",
        INDEX_THROUGHPUT_EXCEEDED,
    ),
    errors.OutcomeUnknown: ("InternalServerError", "Internal server error"),
    errors.ServerError: ("InternalServerError", "Internal server error"),
}


def from_domain(error: TrilithError) -> DynamoDBError:
    """The answer for a domain error."""
    for ancestor in type(error).__mro__:
        row = _DOMAIN.get(ancestor)
        if row is not None:
            name, message = row
            return DynamoDBError(name, error.message if message is None else message)
    raise AssertionError("every domain error descends from TrilithError")
