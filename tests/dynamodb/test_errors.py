"""DynamoDB's errors: every domain error has an answer, in the service's form."""

from __future__ import annotations

import json

import pytest

from trilith import errors
from trilith.dynamodb.errors import DynamoDBError, from_domain, serialization, validation

RETRIED_BY_SDKS = {
    "InternalServerError",
    "ServiceUnavailableException",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "TransactionInProgressException",
}


@pytest.mark.parametrize("domain", errors.all_error_types(), ids=lambda one: one.__name__)
def test_every_domain_error_has_an_answer(domain: type[errors.TrilithError]) -> None:
    answer = from_domain(domain("what happened"))
    assert answer.status in {400, 500, 503}
    if issubclass(domain, errors.Unavailable):
        assert answer.name in RETRIED_BY_SDKS
    if domain.outcome is errors.Outcome.UNKNOWN:
        assert answer.status == 500


def test_an_error_is_json_with_the_services_type() -> None:
    assert json.loads(validation("no").to_json()) == {
        "__type": "com.amazon.coral.validate#ValidationException",
        "message": "no",
    }
    assert serialization("no").type == "com.amazon.coral.service#SerializationException"
    failed = DynamoDBError("ConditionalCheckFailedException", "no", Item={"a": {"S": "x"}})
    assert json.loads(failed.to_json()) == {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "no",
        "Item": {"a": {"S": "x"}},
    }
