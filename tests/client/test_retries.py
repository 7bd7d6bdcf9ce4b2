"""When a call is made again: never where that could apply it twice."""

from __future__ import annotations

import pytest

from trilith.client.endpoints import Endpoints, parse_endpoints
from trilith.client.retries import (
    ATTEMPT_S_FIRST,
    ATTEMPT_S_MAX,
    PAUSE_S_MAX,
    REPEAT_S_MAX,
    Attempts,
)
from trilith.errors import (
    NotEnoughZones,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StorageFailure,
    TrilithError,
    Unauthenticated,
)


def _fails(attempts: Attempts, failure: TrilithError, now_s: float = 0.0) -> TrilithError | None:
    """What the caller is told; None: it is made again."""
    try:
        pause_s = attempts.pause_s(failure, now_s, elsewhere=False)
    except TrilithError as told:
        return told
    assert 0 <= pause_s <= PAUSE_S_MAX
    return None


def test_what_was_not_applied_is_made_again_until_its_time_is_up() -> None:
    attempts = Attempts(0.0, 30.0, repeatable=False)
    assert _fails(attempts, NotEnoughZones("no")) is None
    assert _fails(attempts, NotEnoughZones("no"), 10.0) is None
    assert isinstance(_fails(attempts, NotEnoughZones("no"), 30.0), NotEnoughZones)


def test_an_unknown_outcome_is_made_again_only_where_that_is_harmless() -> None:
    unknown = OutcomeUnknown("?")
    assert _fails(Attempts(0.0, 30.0, repeatable=False), unknown) is unknown
    assert _fails(Attempts(0.0, 30.0, repeatable=True), unknown) is None


def test_an_outcome_stays_unknown_though_the_last_attempt_was_not_applied() -> None:
    attempts = Attempts(0.0, 30.0, repeatable=True)
    assert _fails(attempts, OutcomeUnknown("?")) is None
    assert isinstance(_fails(attempts, NotEnoughZones("no"), 30.0), OutcomeUnknown)


def test_the_engines_verdict_on_a_repeated_request_is_final() -> None:
    attempts = Attempts(0.0, 30.0, repeatable=True)
    assert _fails(attempts, OutcomeUnknown("?")) is None
    refused = PreconditionFailed("no")
    assert _fails(attempts, refused) is refused


@pytest.mark.parametrize("failure", [ObjectNotFound("no"), StorageFailure("no")])
def test_what_no_retry_helps_is_told_at_once(failure: TrilithError) -> None:
    assert _fails(Attempts(0.0, 30.0, repeatable=True), failure) is failure


def test_an_unknown_outcome_is_not_made_again_beyond_the_engines_memory() -> None:
    attempts = Attempts(0.0, 10_000.0, repeatable=True)
    assert _fails(attempts, OutcomeUnknown("?")) is None
    assert isinstance(_fails(attempts, NotEnoughZones("no"), REPEAT_S_MAX + 1), OutcomeUnknown)


def test_a_new_bearer_token_is_tried_once() -> None:
    attempts = Attempts(0.0, 30.0, repeatable=False)
    assert _fails(attempts, Unauthenticated("expired")) is None
    assert isinstance(_fails(attempts, Unauthenticated("expired")), Unauthenticated)


def test_a_stream_is_taken_up_for_so_long_after_its_failure() -> None:
    attempts = Attempts(0.0, 86_400.0, 30.0, repeatable=True)
    assert _fails(attempts, OutcomeUnknown("?"), 5000.0) is None
    assert isinstance(_fails(attempts, OutcomeUnknown("?"), 5030.0), OutcomeUnknown)


def test_attempts_grow_and_are_shorter_than_the_call() -> None:
    attempts = Attempts(0.0, 100.0, repeatable=True)
    assert attempts.time_s(0.0) == ATTEMPT_S_FIRST
    for _ in range(4):
        assert _fails(attempts, OutcomeUnknown("?"), 10.0) is None
    assert attempts.time_s(10.0) == ATTEMPT_S_MAX
    assert attempts.time_s(99.0) == 1.0


def test_what_cannot_be_repeated_gets_the_whole_patience_of_its_node() -> None:
    assert Attempts(0.0, 100.0, repeatable=False).time_s(0.0) == ATTEMPT_S_MAX


def test_the_first_failure_is_answered_at_another_node_at_once() -> None:
    attempts = Attempts(0.0, 30.0, repeatable=True)
    assert attempts.pause_s(NotEnoughZones("no"), 0.0, elsewhere=True) == 0.0


def test_calls_that_fail_together_leave_a_node_once() -> None:
    endpoints = Endpoints(["a:1"])
    assert not endpoints.leave("a:1")
    endpoints.add(["b:1", "", "a:1"])
    assert endpoints.all == ["a:1", "b:1"]
    assert endpoints.leave("a:1")
    endpoints.leave("a:1")
    assert endpoints.current == "b:1"


@pytest.mark.parametrize(
    "text", ["", ",", "host", "host:", ":1", "host:0", "host:99999", "h:x", "https://h:1"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        parse_endpoints(text)
