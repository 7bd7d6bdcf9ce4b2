"""S3 errors: the table from domain errors is total, and the documents are well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith import errors
from trilith.errors import Fault, Outcome, TrilithError
from trilith.s3.error_codes import STANDARD
from trilith.s3.errors import S3Error, from_domain, from_exception, not_implemented


def document(error: S3Error, resource: str = "/b/k") -> ElementTree.Element:
    return ElementTree.fromstring(error.to_xml("R1", "H1", resource))


@pytest.mark.parametrize("kind", [TrilithError, *errors.all_error_types()])
def test_every_domain_error_has_an_s3_answer_of_its_nature(kind: type[TrilithError]) -> None:
    answer = from_domain(kind("internal words"))
    assert STANDARD[answer.code][0] == answer.status
    if kind.fault is Fault.CALLER:
        assert 400 <= answer.status < 500
    elif kind.outcome is Outcome.UNKNOWN:
        assert answer.status == 500
    elif kind.retryable and kind is not errors.ConditionalConflict:
        assert answer.status == 503
    else:
        assert answer.status in {409, 500}


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errors.BucketNotFound(), "NoSuchBucket", 404),
        (errors.ObjectNotFound(), "NoSuchKey", 404),
        (errors.UploadNotFound(), "NoSuchUpload", 404),
        (errors.BucketAlreadyOwned(), "BucketAlreadyOwnedByYou", 409),
        (errors.BucketNotEmpty(), "BucketNotEmpty", 409),
        (errors.PreconditionFailed(), "PreconditionFailed", 412),
        (errors.ConditionalConflict(), "ConditionalRequestConflict", 409),
        (errors.BodyMismatch(), "BadDigest", 400),
        (errors.IncompleteBody(), "IncompleteBody", 400),
        (errors.PartTooSmall(), "EntityTooSmall", 400),
        (errors.Overloaded(), "SlowDown", 503),
        (errors.NotLeader(), "ServiceUnavailable", 503),
        (errors.DeadlineExceeded(), "ServiceUnavailable", 503),
        (errors.OutcomeUnknown(), "InternalError", 500),
        (errors.Corruption(), "InternalError", 500),
    ],
)
def test_domain_errors_become_awss_codes(error: TrilithError, code: str, status: int) -> None:
    answer = from_domain(error)
    assert (answer.code, answer.status) == (code, status)


def test_a_full_disk_is_a_retryable_answer_that_says_so() -> None:
    answer = from_domain(errors.DiskFull())
    assert (answer.code, answer.status) == ("ServiceUnavailable", 503)
    assert "no room" in answer.message
    assert (b"retry-after", b"1") in answer.headers


def test_an_error_class_unknown_to_the_table_has_its_nearest_ancestors_answer() -> None:
    class TestOnlyOverloadedPart(errors.Overloaded):
        """Newer than the table."""

    try:
        assert from_domain(TestOnlyOverloadedPart()).code == "SlowDown"
    finally:
        del errors._BY_CODE["TestOnlyOverloadedPart"]


def test_facts_for_the_caller_are_shown_and_internal_ones_are_not() -> None:
    shown = from_domain(errors.ObjectNotFound("x", key="a/b", bucket="c", partition=7))
    assert shown.elements == {"Key": "a/b", "BucketName": "c"}
    hidden = from_domain(errors.Corruption("extent 7 of /srv/az1", key="a/b"))
    assert hidden.elements == {}
    assert "extent" not in hidden.message


def test_anything_else_raised_is_an_internal_error_without_its_words() -> None:
    answer = from_exception(KeyError("secret"))
    assert (answer.code, answer.status) == ("InternalError", 500)
    assert "secret" not in answer.to_xml("r", "h", "/").decode()
    own = S3Error("NoSuchKey")
    assert from_exception(own) is own
    assert from_exception(errors.ObjectNotFound()).code == "NoSuchKey"


def test_the_document_has_awss_elements_in_awss_order() -> None:
    error = S3Error("NoSuchKey", elements={"Key": "photos/ä&<b>.jpg"})
    root = document(error, "/bucket/photos")
    assert [child.tag for child in root] == [
        "Code",
        "Message",
        "Key",
        "Resource",
        "RequestId",
        "HostId",
    ]
    assert root.findtext("Message") == "The specified key does not exist."
    assert root.findtext("Key") == "photos/ä&<b>.jpg"
    assert error.to_xml("R", "H", "/").startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error>'
    )


@given(st.text(), st.text())
def test_any_text_makes_a_well_formed_document(message: str, key: str) -> None:
    root = document(S3Error("InvalidRequest", message, elements={"Key": key}), key)
    assert root.findtext("RequestId") == "R1"


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")
    )
)
def test_text_that_xml_can_carry_comes_back_unchanged(key: str) -> None:
    assert document(S3Error("InvalidRequest", elements={"Key": key})).findtext("Key") == key


def test_what_is_not_implemented_is_named() -> None:
    error = not_implemented("SelectObjectContent")
    assert error.status == 501
    assert "SelectObjectContent" in error.message


def test_a_code_outside_the_table_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        S3Error("NoSuchCode")


def test_every_standard_message_is_text_and_every_status_an_error() -> None:
    for code, (status, message) in STANDARD.items():
        assert 300 <= status < 600, code
        assert message, code
