"""Every operation of AWS's own service model is served or refused by name."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import botocore.session
import pytest

from trilith.s3 import headers, operations
from trilith.s3.dispatch import HANDLERS
from trilith.s3.request_head import RequestHead
from trilith.s3.routing import operation_of

MODEL = botocore.session.get_session().get_service_model("s3")

# ListBuckets on another host; its one distinguishing parameter is not required.
DISTINGUISHING = {
    "ListDirectoryBuckets": {"max-directory-buckets": "1"},
    "GetObjectAnnotation": {"annotationName": "a"},
}


def request_of(operation: str) -> tuple[RequestHead, str, str]:
    """The operation's request with its required parameters; head, bucket, key."""
    model = MODEL.operation_model(operation)
    uri: str = model.http["requestUri"]
    path, _, fixed = uri.partition("?")
    query = parse_qsl(fixed, keep_blank_values=True)
    names: list[tuple[bytes, bytes]] = []
    shape: Any = model.input_shape
    for name, member in shape.members.items() if shape else ():
        if name in shape.required_members:
            place = member.serialization.get("location")
            if place == "querystring":
                query.append((member.serialization["name"], "1"))
            elif place == "header":
                names.append((member.serialization["name"].lower().encode(), b"1"))
    query += DISTINGUISHING.get(operation, {}).items()
    bucket = "b-1" if "{Bucket}" in path else path[1:]
    key = "k" if "{Key+}" in path else ""
    head = RequestHead(model.http["method"], b"/b-1/k", urlencode(query).encode(), names)
    return head, bucket, key


@pytest.mark.parametrize("operation", MODEL.operation_names)
def test_a_request_of_the_model_is_taken_for_the_operation_that_it_is(operation: str) -> None:
    found = operation_of(*request_of(operation))
    assert found == operations.ALIASES.get(operation, operation)


def test_what_is_said_to_be_served_has_a_handler_and_nothing_else_has() -> None:
    assert set(HANDLERS) == operations.SERVED
    assert set(MODEL.operation_names) >= operations.SERVED - operations.OF_BROWSERS


# Headers that a served operation may ignore: they ask for nothing that could be missed.
IGNORED = {
    "x-amz-request-payer",  # nobody pays
    "x-amz-skip-destination-validation",  # only the notifications that there are none are taken
    "x-amz-optional-object-attributes",  # only RestoreStatus, which no object has
    "x-amz-checksum-crc32",  # the rest of these are the body's, read by the body's reader
    "content-md5",
    "content-length",
    "x-amz-sdk-checksum-algorithm",
}
READ = {
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "range",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-mode",
    "x-amz-checksum-type",
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-copy-source-range",
    "x-amz-metadata-directive",
    "x-amz-mp-object-size",
    "x-amz-object-attributes",
    "x-amz-max-parts",
    "x-amz-part-number-marker",
    "x-amz-tagging",
    "x-amz-tagging-directive",
}


@pytest.mark.parametrize("operation", sorted(operations.SERVED - operations.OF_BROWSERS))
def test_every_header_of_a_served_operation_is_read_screened_or_harmless(operation: str) -> None:
    shape: Any = MODEL.operation_model(operation).input_shape
    for member in shape.members.values() if shape else ():
        if member.serialization.get("location") != "header":
            continue
        name = member.serialization["name"].lower()
        known = name in READ or name in IGNORED or name.encode() in headers.SCREENED
        assert known or name.startswith("x-amz-checksum-"), name


@pytest.mark.parametrize("operation", sorted(operations.SERVED - operations.OF_BROWSERS))
def test_every_query_parameter_of_a_served_operation_is_known(operation: str) -> None:
    model = MODEL.operation_model(operation)
    fixed = dict(parse_qsl(model.http["requestUri"].partition("?")[2], keep_blank_values=True))
    shape: Any = model.input_shape
    for member in shape.members.values() if shape else ():
        if member.serialization.get("location") == "querystring":
            name = member.serialization["name"]
            assert (
                name in operations.PARAMETERS
                or name in operations.OBJECT
                or name.startswith("response-")
                or name in fixed
            ), name
