"""gRPC statuses: every domain error has one, and comes back as itself."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from trilith import errors
from trilith.client.failures import failure_of
from trilith.edge.grpc_admin import AdminService
from trilith.edge.grpc_objects import ObjectsService
from trilith.edge.grpc_server import method_name
from trilith.edge.grpc_status import DETAILS_BYTES_MAX, status_of, trailer_of
from trilith.edge.grpc_tables import TablesService
from trilith.edge.grpc_transactions import TransactionsService
from trilith.wire.v1 import admin_pb2, objects_pb2, tables_pb2, transactions_pb2

# What gRPC clients of other languages retry without looking further must not have been applied.
NOT_APPLIED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class _Failed(grpc.RpcError):
    """What a client has in its hands."""

    def __init__(self, code: grpc.StatusCode, details: str, trailer: Any = ()) -> None:
        self.code = lambda: code
        self.details = lambda: details
        self.trailing_metadata = lambda: trailer


@pytest.mark.parametrize("domain", errors.all_error_types(), ids=lambda one: one.__name__)
def test_every_domain_error_crosses_the_wire_unchanged(domain: type[errors.TrilithError]) -> None:
    error = domain("what häppened", size=3)
    status = status_of(error)
    assert status is not grpc.StatusCode.OK
    found = failure_of(_Failed(status, error.message, trailer_of(error, "id")))
    assert type(found) is domain
    assert (found.message, found.details) == (error.message, error.details)
    if domain.outcome is errors.Outcome.UNKNOWN:
        assert status not in NOT_APPLIED
    if issubclass(domain, errors.Unavailable):
        assert status in NOT_APPLIED


def test_large_details_stay_behind() -> None:
    trailer = trailer_of(errors.InvalidRequest("no", text="x" * DETAILS_BYTES_MAX), "id")
    assert "trilith-details-bin" not in dict(trailer)


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses", errors.PeerUnreachable),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", errors.OutcomeUnknown),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.OutcomeUnknown),
        (grpc.StatusCode.CANCELLED, "", errors.OutcomeUnknown),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", errors.NotServed),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "Received message larger than max",
            errors.EntityTooLarge,
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", errors.Overloaded),
        (grpc.StatusCode.UNKNOWN, "?", errors.InternalError),
    ],
)
def test_what_grpc_says_itself_is_read_with_care(
    code: grpc.StatusCode, details: str, expected: type[errors.TrilithError]
) -> None:
    assert type(failure_of(_Failed(code, details))) is expected


@pytest.mark.parametrize(
    ("module", "service", "served_by"),
    [
        (objects_pb2, "Objects", ObjectsService),
        (tables_pb2, "Tables", TablesService),
        (transactions_pb2, "Transactions", TransactionsService),
        (admin_pb2, "Admin", AdminService),
    ],
)
def test_every_method_of_the_protocol_is_there(module: Any, service: str, served_by: type) -> None:
    methods = module.DESCRIPTOR.services_by_name[service].methods
    assert [one.name for one in methods if not hasattr(served_by, method_name(one))] == []
