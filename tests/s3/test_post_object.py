"""Forms that boto3 signs, posted over HTTP: stored as by a PUT, if their policy allows it."""

from __future__ import annotations

import asyncio
import http.client
import json
from base64 import b64encode
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.errors import S3Error
from trilith.s3.post_form import PostForm, boundary_of
from trilith.s3.sigv2 import signature

from .local_s3 import ACCESS_KEY, MIB, SECRET_KEY, LocalS3, running

BOUNDARY = "frontier"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture(scope="module")
def s3() -> Iterator[LocalS3]:
    with running(LocalS3()) as local:
        local.client().create_bucket(Bucket="bucket")
        yield local


@pytest.fixture(params=["s3v4", "s3"])
def client(s3: LocalS3, request: pytest.FixtureRequest) -> Any:
    return s3.client(signature_version=request.param)


def encode(fields: dict[str, str], file: bytes | None, filename: str = "a.txt") -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if file is not None:
        head = f'Content-Disposition: form-data; name="file"; filename="{filename}"'
        parts.append(f"--{BOUNDARY}\r\n{head}\r\nContent-Type: x/y\r\n\r\n".encode())
        parts.append(file + b"\r\n")
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def post(s3: LocalS3, body: bytes, content_type: str = TYPE) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", s3.port, timeout=30)
    try:
        connection.request("POST", "/bucket", body, {"Content-Type": content_type})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()
    finally:
        connection.close()


def form(client: Any, key: str, *conditions: Any, **fields: str) -> dict[str, str]:
    """Signed fields; each is allowed with its value, and `conditions` are added."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    allowed = [{name: value} for name, value in named.items()]
    signed = client.generate_presigned_post("bucket", key, named, [*allowed, *conditions])
    result: dict[str, str] = signed["fields"]
    return result


def refusal(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    status, _, body = answer
    return status, body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


@pytest.mark.parametrize("size", [0, 5, 3 * MIB])
def test_a_file_is_stored_with_what_the_form_says(s3: LocalS3, client: Any, size: int) -> None:
    file = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    fields = form(client, "up/${filename}", Content_Type="text/x", x_amz_meta_colour="blue")
    status, headers, body = post(s3, encode(fields, file, "C:\\docs\\b é.txt"))
    assert (status, body) == (204, b"")
    stored = client.get_object(Bucket="bucket", Key="up/b é.txt")
    assert stored["Body"].read() == file
    assert (stored["ContentType"], stored["ETag"]) == ("text/x", headers["etag"])
    assert stored["Metadata"] == {"colour": "blue"}


def test_the_form_chooses_the_answer(s3: LocalS3, client: Any) -> None:
    status, _, body = post(s3, encode(form(client, "k", success_action_status="x"), b"1"))
    assert (status, body) == (204, b"")


@pytest.mark.parametrize(("wanted", "status"), [("200", 200), ("201", 201), ("204", 204)])
def test_success_action_status(s3: LocalS3, client: Any, wanted: str, status: int) -> None:
    condition = {"success_action_status": wanted}
    fields = client.generate_presigned_post("bucket", "k", dict(condition), [condition])["fields"]
    answered, headers, body = post(s3, encode(fields, b"1"))
    assert answered == status
    assert headers["location"].endswith("/bucket/k")
    assert (b"<PostResponse>" in body) == (status == 201)


def test_success_action_redirect(s3: LocalS3, client: Any) -> None:
    condition = {"success_action_redirect": "http://example.org/done?a=1"}
    fields = client.generate_presigned_post("bucket", "k&", dict(condition), [condition])["fields"]
    status, headers, _ = post(s3, encode(fields, b"1"))
    assert status == 303
    assert headers["location"] == (
        "http://example.org/done?a=1&bucket=bucket&key=k%26&etag=" + "%22"
        "c4ca4238a0b923820dcc509a6f75849b%22"
    )


def test_tags_come_as_a_document(s3: LocalS3, client: Any) -> None:
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    assert post(s3, encode(form(client, "tagged", tagging=tagging), b""))[0] == 204
    tags = client.get_object_tagging(Bucket="bucket", Key="tagged")["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize(
    ("size", "code"),
    [(1, "EntityTooSmall"), (2, ""), (4, ""), (5, "EntityTooLarge"), (MIB, "EntityTooLarge")],
)
def test_the_length_is_bounded(s3: LocalS3, client: Any, size: int, code: str) -> None:
    client.delete_object(Bucket="bucket", Key="bounded")
    fields = form(client, "bounded", ["content-length-range", 2, 4])
    assert refusal(post(s3, encode(fields, b"x" * size))) == (400 if code else 204, code)
    assert ("Contents" in client.list_objects_v2(Bucket="bucket", Prefix="bounded")) == (not code)


def test_each_of_several_content_types_must_begin_as_the_policy_says(
    s3: LocalS3, client: Any
) -> None:
    fields = form(client, "types", ["starts-with", "$Content-Type", "text/"])
    for types, status in (("text/plain, text/html", 204), ("text/plain, image/jpeg", 403)):
        assert post(s3, encode({**fields, "Content-Type": types}, b"1"))[0] == status


def test_what_the_policy_does_not_allow_is_refused(s3: LocalS3, client: Any) -> None:
    fields = form(client, "allowed", ["starts-with", "$x-amz-meta-a", "b"])
    denied = (403, "AccessDenied")
    good = {**fields, "x-amz-meta-a": "bc"}
    assert post(s3, encode(good, b"1"))[0] == 204
    assert post(s3, encode({**good, "x-ignore-me": "x"}, b"1"))[0] == 204
    assert refusal(post(s3, encode(fields, b"1"))) == denied
    assert refusal(post(s3, encode({**good, "key": "other"}, b"1"))) == denied
    assert refusal(post(s3, encode({**good, "x-amz-meta-a": "c"}, b"1"))) == denied
    assert refusal(post(s3, encode({**good, "x-amz-meta-more": "c"}, b"1"))) == denied
    assert refusal(post(s3, encode({**good, "acl": "private"}, b"1"))) == denied


def test_a_form_that_is_not_signed_by_the_key_is_refused(s3: LocalS3, client: Any) -> None:
    fields = form(client, "k")
    changed = {**fields, "policy": fields["policy"][:-4] + "AAA="}
    assert refusal(post(s3, encode(changed, b"1"))) == (403, "SignatureDoesNotMatch")
    assert refusal(post(s3, encode({"key": "k"}, b"1"))) == (403, "AccessDenied")
    name = "AWSAccessKeyId" if "AWSAccessKeyId" in fields else "x-amz-credential"
    stranger = {**fields, name: fields[name].replace(ACCESS_KEY, "AKIASTRANGER")}
    assert refusal(post(s3, encode(stranger, b"1"))) == (403, "InvalidAccessKeyId")
    for missing in {"signature", "x-amz-signature", "AWSAccessKeyId", "x-amz-date"} & set(fields):
        rest = {name: value for name, value in fields.items() if name != missing}
        assert refusal(post(s3, encode(rest, b"1"))) == (400, "InvalidArgument")


def with_policy(policy: Any) -> dict[str, str]:
    """Fields with a policy of one's own, signed with version 2."""
    encoded = b64encode(policy if isinstance(policy, bytes) else json.dumps(policy).encode())
    signed = signature(SECRET_KEY, encoded)
    fields = {"key": "k", "AWSAccessKeyId": ACCESS_KEY, "signature": signed}
    return {**fields, "policy": encoded.decode()}


LATER = "2100-01-01T00:00:00Z"
NAMED = [{"bucket": "bucket"}, {"KEY": "k"}]


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"expiration": LATER, "conditions": NAMED}, ""),
        ({"expiration": "2100-01-01T00:00:00.000Z", "conditions": NAMED}, ""),
        ({"expiration": "2001-01-01T00:00:00Z", "conditions": NAMED}, "AccessDenied"),
        ({"expiration": LATER, "conditions": NAMED[:1]}, "AccessDenied"),
        ({"expiration": LATER, "conditions": NAMED[1:]}, "AccessDenied"),
        ({"expiration": LATER, "conditions": [{"bucket": "b2"}, *NAMED]}, "AccessDenied"),
        ({"expiration": LATER}, "InvalidPolicyDocument"),
        ({"conditions": NAMED}, "InvalidPolicyDocument"),
        ({"expiration": "soon", "conditions": NAMED}, "InvalidPolicyDocument"),
        ({"expiration": "2100-13-01T00:00:00Z", "conditions": NAMED}, "InvalidPolicyDocument"),
        ({"expiration": LATER, "conditions": [*NAMED, {}]}, "InvalidPolicyDocument"),
        (
            {"expiration": LATER, "conditions": [*NAMED, ["eq", "key", "k"]]},
            "InvalidPolicyDocument",
        ),
        (
            {"expiration": LATER, "conditions": [*NAMED, ["content-length-range", 1]]},
            "InvalidPolicyDocument",
        ),
        (
            {"expiration": LATER, "conditions": [*NAMED, ["content-length-range", -1, 3]]},
            "InvalidPolicyDocument",
        ),
        (b"[" * 10_000, "InvalidPolicyDocument"),
        (b"{", "InvalidPolicyDocument"),
        ([], "InvalidPolicyDocument"),
    ],
)
def test_policies(s3: LocalS3, policy: Any, code: str) -> None:
    status, found = refusal(post(s3, encode(with_policy(policy), b"1")))
    assert found == code
    assert status == {"": 204, "AccessDenied": 403}.get(code, 400)


def test_a_form_without_what_it_needs_is_refused(s3: LocalS3, client: Any) -> None:
    fields = form(client, "k")
    keyless = {name: value for name, value in fields.items() if name != "key"}
    assert refusal(post(s3, encode(keyless, b"1"))) == (400, "InvalidArgument")
    assert refusal(post(s3, encode(fields, None))) == (400, "InvalidArgument")
    whole = encode(fields, b"1")
    assert refusal(post(s3, whole[:-8])) == (400, "MalformedPOSTRequest")
    assert refusal(post(s3, b"")) == (400, "MalformedPOSTRequest")
    assert refusal(post(s3, whole, "text/plain")) == (412, "PreconditionFailed")
    assert refusal(post(s3, whole, "multipart/form-data")) == (400, "MalformedPOSTRequest")
    long = {"x-ignore-a": "x" * 30_000, **fields}
    assert refusal(post(s3, encode(long, b"1"))) == (400, "MaxPostPreDataLengthExceeded")


def test_a_promise_that_is_not_kept_is_refused_by_name(s3: LocalS3, client: Any) -> None:
    fields = form(client, "public", **{"x-amz-website-redirect-location": "/x"})
    assert refusal(post(s3, encode(fields, b"1"))) == (501, "NotImplemented")


def test_another_access_control_list_is_refused(s3: LocalS3, client: Any) -> None:
    fields = form(client, "public", acl="public-read")
    assert refusal(post(s3, encode(fields, b"1"))) == (400, "AccessControlListNotSupported")


def read_all(body: bytes, cuts: list[int]) -> tuple[list[tuple[str, str]], str, bytes]:
    """The fields, the file's name and its bytes, of a body that arrives in pieces."""
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    pieces = [body[a:b] for a, b in pairwise(edges)] or [b""]
    messages = iter(pieces)
    left = [len(pieces)]

    async def receive() -> dict[str, Any]:
        left[0] -= 1
        return {"type": "http.request", "body": next(messages), "more_body": left[0] > 0}

    async def read() -> tuple[list[tuple[str, str]], str, bytes]:
        reader = PostForm(receive, boundary_of(TYPE))
        fields, filename = await reader.read_fields()
        reader.expect(0, 1 << 20, None)
        file = b""
        while run := await reader.read():
            file += run
        return fields, filename, file

    return asyncio.run(read())


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"\r\n--front", b"\r\n", b"--"])).map(b"".join),
    st.lists(st.integers(0, 1000), max_size=12),
)
def test_a_file_is_read_however_it_arrives(file: bytes, cuts: list[int]) -> None:
    if f"\r\n--{BOUNDARY}".encode() in b"\r\n" + file + b"\r\n":
        return
    fields, filename, found = read_all(encode({"key": "a", "b": ""}, file, "n"), cuts)
    assert (fields, filename, found) == ([("key", "a"), ("b", "")], "n", file)


@given(st.binary(max_size=300), st.lists(st.integers(0, 1000), max_size=6))
def test_any_other_bytes_are_refused(body: bytes, cuts: list[int]) -> None:
    with pytest.raises(S3Error):
        read_all(f"--{BOUNDARY}".encode() + body, cuts)
