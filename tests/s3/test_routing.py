"""Hosts, paths and queries to names; what is not understood is refused."""

from __future__ import annotations

import pytest

from trilith.s3.errors import S3Error
from trilith.s3.request_head import RequestHead
from trilith.s3.routing import Router

ROUTER = Router(("localhost", "s3.localhost", "s3.example.com"))


def route(
    method: str, target: bytes, host: bytes = b"localhost:9000", **headers: bytes
) -> tuple[str, str, str]:
    path, _, query = target.partition(b"?")
    pairs = [(b"host", host)]
    pairs += [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    found = ROUTER.route(RequestHead(method, path, query, pairs))
    return found.operation, found.bucket, found.key


def refusal(method: str, target: bytes, host: bytes = b"localhost") -> str:
    with pytest.raises(S3Error) as caught:
        route(method, target, host)
    return caught.value.code


def test_a_path_names_a_bucket_and_a_key() -> None:
    assert route("GET", b"/") == ("ListBuckets", "", "")
    assert route("GET", b"/bucket") == ("ListObjects", "bucket", "")
    assert route("GET", b"/bucket/") == ("ListObjects", "bucket", "")
    assert route("GET", b"/bucket/a/b%20c") == ("GetObject", "bucket", "a/b c")


def test_keys_are_taken_literally() -> None:
    for raw, key in (
        (b"/bucket//a", "/a"),
        (b"/bucket/../b", "../b"),
        (b"/bucket/a/", "a/"),
        (b"/bucket/a+b", "a+b"),
        (b"/bucket/%2Fa%3Fb", "/a?b"),
        (b"/bucket/%C3%BC", "ü"),
    ):
        assert route("PUT", raw) == ("PutObject", "bucket", key)


@pytest.mark.parametrize(
    "host",
    [b"bucket.localhost", b"bucket.localhost:9000", b"bucket.s3.localhost", b"BUCKET.localhost:1"],
)
def test_a_host_under_a_domain_names_the_bucket(host: bytes) -> None:
    assert route("GET", b"/a/b", host) == ("GetObject", "bucket", "a/b")
    assert route("GET", b"/", host) == ("ListObjects", "bucket", "")


def test_a_bucket_with_dots_may_be_in_the_host() -> None:
    host = b"my.bucket.s3.example.com"
    assert route("PUT", b"/k", host) == ("PutObject", "my.bucket", "k")


@pytest.mark.parametrize("host", [b"localhost", b"127.0.0.1:9000", b"[::1]:9000", b"other.org"])
def test_any_other_host_means_path_style(host: bytes) -> None:
    assert route("GET", b"/bucket/k", host) == ("GetObject", "bucket", "k")


def test_subresources_name_other_operations() -> None:
    assert route("POST", b"/bucket?delete")[0] == "DeleteObjects"
    assert route("POST", b"/bucket/k?uploads=")[0] == "CreateMultipartUpload"
    assert route("GET", b"/bucket?list-type=2&prefix=a")[0] == "ListObjectsV2"
    assert route("GET", b"/bucket?list-type=1")[0] == "ListObjects"
    assert route("PUT", b"/bucket/k?partNumber=1&uploadId=u")[0] == "UploadPart"


def test_a_copy_source_makes_a_copy() -> None:
    assert route("PUT", b"/bucket/k", x_amz_copy_source=b"/b/k")[0] == "CopyObject"
    part = b"/bucket/k?partNumber=1&uploadId=u"
    assert route("PUT", part, x_amz_copy_source=b"/b/k")[0] == "UploadPartCopy"


def test_parameters_of_signatures_and_sdks_select_nothing() -> None:
    assert route("PUT", b"/bucket/k?X-Amz-Signature=1&x-id=PutObject")[0] == "PutObject"
    assert route("GET", b"/bucket/k?cache=buster")[0] == "GetObject"


@pytest.mark.parametrize(
    "target", [b"/bucket/k?brandNew", b"/bucket/k?brandNew=", b"/bucket?brandNew", b"/bucket/k?a=b"]
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_mutation_with_an_unknown_parameter_is_not_guessed(method: str, target: bytes) -> None:
    assert refusal(method, target) == "NotImplemented"


def test_two_subresources_contradict_each_other() -> None:
    assert refusal("PUT", b"/bucket/k?acl&tagging") == "InvalidArgument"


def test_methods_without_a_meaning_are_refused() -> None:
    assert refusal("PATCH", b"/bucket/k") == "MethodNotAllowed"
    assert refusal("POST", b"/bucket/k") == "MethodNotAllowed"
    assert refusal("OPTIONS", b"/") == "MethodNotAllowed"


@pytest.mark.parametrize(
    "target", [b"/bucket", b"/bucket/k", b"/bucket/k?brandNew", b"/bucket?cors"]
)
def test_a_question_of_a_browser_is_one_whatever_it_is_about(target: bytes) -> None:
    assert route("OPTIONS", target)[0] == "Preflight"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (b"/bucket/%FF", "InvalidURI"),
        (b"/bucket/%zz", "InvalidURI"),
        (b"//k", "InvalidURI"),
        (b"/UPPER/k", "InvalidBucketName"),
        (b"/bucket/" + b"k" * 1025, "KeyTooLongError"),
        (b"/bucket/" + b"%C3%BC" * 513, "KeyTooLongError"),
    ],
)
def test_names_that_cannot_be_are_refused(target: bytes, code: str) -> None:
    assert refusal("GET", target) == code


def test_the_longest_key_is_1024_bytes() -> None:
    assert route("GET", b"/bucket/" + b"%C3%BC" * 512)[2] == "ü" * 512
