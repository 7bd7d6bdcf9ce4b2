"""Every operation of botocore's models is served or refused by its name."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from trilith.dynamodb import routing
from trilith.dynamodb.errors import DynamoDBError
from trilith.dynamodb.validation import is_known

SESSION = botocore.session.get_session()
TABLES = SESSION.get_service_model("dynamodb")
STREAMS = SESSION.get_service_model("dynamodbstreams")


def test_every_operation_of_the_models_is_listed() -> None:
    assert {*routing.SERVED, *routing.REFUSED} == set(TABLES.operation_names)
    assert set(STREAMS.operation_names) == set(routing.SERVED_OF_STREAMS)


def test_no_operation_is_both_served_and_refused() -> None:
    assert not routing.REFUSED & set(routing.SERVED)


@pytest.mark.parametrize(
    ("model", "served"), [(TABLES, routing.SERVED), (STREAMS, routing.SERVED_OF_STREAMS)]
)
def test_a_served_operation_is_found_and_its_requests_are_validated(
    model: Any, served: dict[str, Any]
) -> None:
    for operation, handler in served.items():
        target = f"{model.metadata['targetPrefix']}.{operation}".encode()
        assert routing.operation_of(target) == operation
        assert routing.handler_of(operation) is handler
        assert is_known(operation)


@pytest.mark.parametrize("operation", sorted(routing.REFUSED))
def test_an_operation_that_is_not_served_is_refused_by_its_name(operation: str) -> None:
    target = f"{TABLES.metadata['targetPrefix']}.{operation}".encode()
    with pytest.raises(DynamoDBError, match=operation) as refused:
        routing.handler_of(routing.operation_of(target))
    assert refused.value.name == "UnknownOperationException"
