"""Who may: SigV4 in headers and in URLs, and every way to get it wrong."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from . import sigv4
from .conftest import Server
from .refusals import refused
from .trees import random_bytes
from .wire import Answer, Caller


def outcome(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error_code


def test_a_wrong_secret_is_refused(caller: Caller) -> None:
    wrong = replace(caller, credentials=replace(caller.credentials, secret_key="x" * 40))
    assert outcome(wrong.call("GET", "/")) == (403, "SignatureDoesNotMatch")


def test_an_unknown_access_key_is_refused(caller: Caller) -> None:
    wrong = replace(caller, credentials=replace(caller.credentials, access_key="unknown-key"))
    assert outcome(wrong.call("GET", "/")) == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_that_is_off_by_more_than_15_minutes_is_refused(
    caller: Caller, minutes: int
) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    assert outcome(caller.call("GET", "/", at=at)) == (403, "RequestTimeTooSkewed")


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_off_by_less_is_accepted(caller: Caller, minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    assert caller.call("GET", "/", at=at).status == 200


def test_an_unsigned_request_is_refused(caller: Caller, bucket: str) -> None:
    for method, path in (("GET", "/"), ("GET", f"/{bucket}"), ("PUT", f"/{bucket}/o")):
        answer = caller.send(method, path, {"host": caller.host})
        assert outcome(answer) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("authorization", "codes"),
    [
        ("AWS4-HMAC-SHA256", {"AuthorizationHeaderMalformed"}),
        ("AWS4-HMAC-SHA256 Credential=a/b, Signature=c", {"AuthorizationHeaderMalformed"}),
        ("AWS access:signature", {"AccessDenied", "InvalidAccessKeyId"}),
        ("Basic dXNlcjpwYXNz", {"InvalidArgument", "InvalidRequest", "AccessDenied"}),
        ("", {"AccessDenied", "AuthorizationHeaderMalformed", "InvalidArgument"}),
    ],
)
def test_a_malformed_authorization_is_refused(
    caller: Caller, authorization: str, codes: set[str]
) -> None:
    _, headers, _ = caller.sign("GET", "/")
    answer = caller.send("GET", "/", {**headers, "authorization": authorization})
    assert answer.status in {400, 403}
    assert answer.error_code in codes


@pytest.mark.parametrize("change", ["method", "path", "query", "header", "payload"])
def test_a_request_other_than_the_signed_one_is_refused(
    caller: Caller, bucket: str, change: str
) -> None:
    method, path = "PUT", f"/{bucket}/o"
    target, headers, _ = caller.sign(method, path, headers={"x-amz-meta-a": "1"})
    match change:
        case "method":
            method = "DELETE"
        case "path":
            target = f"/{bucket}/other"
        case "query":
            target += "?acl"
        case "header":
            headers["x-amz-meta-a"] = "2"
        case "payload":
            headers["x-amz-content-sha256"] = sigv4.EMPTY_SHA256
    assert outcome(caller.send(method, target, headers)) == (403, "SignatureDoesNotMatch")
    assert caller.call("GET", path).status == 404


def test_an_amz_header_that_is_not_signed_is_refused(caller: Caller, bucket: str) -> None:
    target, headers, _ = caller.sign("PUT", f"/{bucket}/o")
    headers["x-amz-meta-smuggled"] = "1"
    answer = caller.send("PUT", target, headers)
    assert answer.status == 403
    assert answer.error_code in {"AccessDenied", "SignatureDoesNotMatch"}


# -- presigned URLs ------------------------------------------------------------------------


def fetch(
    url: str, method: str = "GET", data: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_presigned_urls_read_write_and_delete(server: Server, bucket: str) -> None:
    s3 = server.client(signature_version="s3v4")
    target = {"Bucket": bucket, "Key": "a b/ü+&=.bin"}
    body = random_bytes(50_000)
    put, get, head, delete = (
        s3.generate_presigned_url(name, Params=target)
        for name in ("put_object", "get_object", "head_object", "delete_object")
    )
    assert fetch(put, "PUT", body)[0] == 200
    assert fetch(get) == (200, body)
    assert fetch(head, "HEAD")[0] == 200
    assert fetch(get, Range="bytes=10-19") == (206, body[10:20])
    assert fetch(delete, "DELETE")[0] == 204
    assert fetch(get)[0] == 404


def test_a_presigned_url_binds_the_headers_that_it_signs(server: Server, bucket: str) -> None:
    s3 = server.client(signature_version="s3v4")
    url = s3.generate_presigned_url(
        "put_object",
        Params={
            "Bucket": bucket,
            "Key": "o",
            "ContentType": "text/plain",
            "Metadata": {"k": "v"},
        },
    )
    right = {"Content-Type": "text/plain", "x-amz-meta-k": "v"}
    status, answer = fetch(url, "PUT", b"o", **{**right, "Content-Type": "text/html"})
    assert (status, b"<Code>SignatureDoesNotMatch</Code>" in answer) == (403, True)
    assert fetch(url, "PUT", b"o", **{**right, "x-amz-meta-k": "w"})[0] == 403
    assert fetch(url, "PUT", b"o", **right)[0] == 200
    head = s3.head_object(Bucket=bucket, Key="o")
    assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"k": "v"})


def test_a_presigned_url_can_override_response_headers(server: Server, bucket: str) -> None:
    s3 = server.client(signature_version="s3v4")
    s3.put_object(Bucket=bucket, Key="o", Body=b"o")
    url = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "o", "ResponseContentType": "text/x"}
    )
    with urllib.request.urlopen(url) as response:
        assert response.headers["content-type"] == "text/x"


def presigned(
    caller: Caller, path: str, *, at: datetime | None = None, expires_s: int = 900
) -> str:
    signature = sigv4.Signature(caller.credentials, at)
    return signature.presigned_target("GET", path, {"host": caller.host}, expires_s=expires_s)


def test_a_presigned_url_expires(caller: Caller, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o")
    path, host = f"/{bucket}/o", {"host": caller.host}
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    late = caller.send("GET", presigned(caller, path, at=long_ago), host)
    assert outcome(late) == (403, "AccessDenied")
    assert b"expired" in late.body
    fine = caller.send("GET", presigned(caller, path, at=long_ago, expires_s=7200), host)
    assert (fine.status, fine.body) == (200, b"o")


@pytest.mark.parametrize("expires_s", [604_801, -1])
def test_a_presigned_url_lives_at_most_a_week(caller: Caller, expires_s: int) -> None:
    answer = caller.send("GET", presigned(caller, "/", expires_s=expires_s), {"host": caller.host})
    assert outcome(answer) == (400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize(
    "name", ["X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"]
)
def test_a_presigned_url_without_one_of_its_parts_is_refused(caller: Caller, name: str) -> None:
    path, _, query = presigned(caller, "/").partition("?")
    kept = "&".join(item for item in query.split("&") if not item.startswith(name + "="))
    answer = caller.send("GET", f"{path}?{kept}", {"host": caller.host})
    assert outcome(answer) == (400, "AuthorizationQueryParametersError")


def test_a_tampered_presigned_url_is_refused(caller: Caller, bucket: str) -> None:
    target = presigned(caller, f"/{bucket}/a").replace(f"/{bucket}/a", f"/{bucket}/b")
    answer = caller.send("GET", target, {"host": caller.host})
    assert outcome(answer) == (403, "SignatureDoesNotMatch")


def test_a_client_with_wrong_keys_sees_the_code_through_boto3(server: Server) -> None:
    stranger = Server(server.endpoint, sigv4.Credentials("nobody", "nothing")).client()
    with refused("InvalidAccessKeyId", 403):
        stranger.list_buckets()


# -- virtual-host addressing ---------------------------------------------------------------


def test_a_bucket_can_be_addressed_by_its_host_name(caller: Caller, s3: Any, bucket: str) -> None:
    port = caller.host.rpartition(":")[2]
    hosted = replace(caller, host_header=f"{bucket}.localhost:{port}")
    assert hosted.call("PUT", "/a b/ü", body=b"hosted").status == 200
    assert s3.get_object(Bucket=bucket, Key="a b/ü")["Body"].read() == b"hosted"
    assert hosted.call("GET", "/a b/ü").body == b"hosted"
    listing = hosted.call("GET", "/", query=[("list-type", "2")])
    assert "<Key>a b/ü</Key>".encode() in listing.body
    assert hosted.call("HEAD", "/").status == 200
    assert hosted.call("DELETE", "/a b/ü").status == 204
    assert outcome(hosted.call("GET", "/a b/ü")) == (404, "NoSuchKey")


def test_a_bucket_is_created_and_deleted_by_its_host_name(caller: Caller, s3: Any) -> None:
    port = caller.host.rpartition(":")[2]
    hosted = replace(caller, host_header=f"conformance-hosted.localhost:{port}")
    assert hosted.call("PUT", "/").status == 200
    s3.head_bucket(Bucket="conformance-hosted")
    assert hosted.call("DELETE", "/").status == 204
    with refused("404", 404):
        s3.head_bucket(Bucket="conformance-hosted")
