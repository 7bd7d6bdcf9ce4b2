"""What botocore signs with version 2 is accepted, whatever is in it, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.authentication import PayloadKind
from trilith.s3.errors import S3Error
from trilith.s3.headers import hoist_parameters
from trilith.s3.request_head import RequestHead

from .local_s3 import SECRET_KEY as LOCAL_SECRET
from .local_s3 import LocalS3, running
from .request_signing import ACCESS_KEY, CLIENT, HOST, ShiftedClock, authenticator, changed

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


def _wire(request: AWSRequest) -> list[tuple[bytes, bytes]]:
    sent = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    return [(b"host", HOST.encode()), *sent]


def by_header(
    method: str = "GET", path: str = "/bucket/key", query: str = "", **headers: str
) -> RequestHead:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers=names)
    HmacV1Auth(CLIENT).add_auth(request)
    return RequestHead(method, path.encode(), query.encode(), _wire(request))


def by_query(
    method: str = "GET",
    path: str = "/bucket/key",
    query: str = "",
    *,
    expires_s: int = 60,
    auth_path: str | None = None,
    **headers: str,
) -> RequestHead:
    """Presigned; the headers stand in the query, none is sent."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers=names, auth_path=auth_path)
    HmacV1QueryAuth(CLIENT, expires=expires_s).add_auth(request)
    sent = urlsplit(request.url).query.encode()
    return RequestHead(method, path.encode(), sent, [(b"host", HOST.encode())])


def refusal(head: RequestHead, **options: str) -> str:
    with pytest.raises(S3Error) as caught:
        authenticator().authenticate(head, **options)
    return caught.value.code


@given(KEYS)
def test_any_key_is_accepted(key: str) -> None:
    path = "/bucket/" + quote(key, safe="/~")
    for head in (by_header(path=path), by_query(path=path)):
        authentication = authenticator().authenticate(head)
        assert authentication.identity.access_key_id == ACCESS_KEY
        assert authentication.payload is PayloadKind.UNSIGNED


@pytest.mark.parametrize(
    "query",
    [
        "acl",
        "uploads",
        "uploadId=a%2Fb&partNumber=3",
        "prefix=a&list-type=2&delimiter=%2F",
        "response-content-type=text%2Fplain%3B%20x&response-expires=now",
    ],
)
def test_parameters_are_signed_as_botocore_signs_them(query: str) -> None:
    authenticator().authenticate(by_header(query=query))
    authenticator().authenticate(by_query(query=query))


def test_headers_in_the_query_are_signed_and_become_headers() -> None:
    head = by_query("PUT", content_type="text/plain", x_amz_meta_colour="blue")
    authenticator().authenticate(head)
    hoist_parameters(head)
    assert head.header(b"content-type") == "text/plain"
    assert head.header(b"x-amz-meta-colour") == "blue"


@pytest.mark.parametrize("name", [b"x-amz-copy-source", b"x-amz-meta-a", b"content-type"])
def test_a_header_that_was_not_signed_is_refused(name: bytes) -> None:
    head = by_query("PUT")
    assert refusal(changed(head, headers={name: b"bucket/other"})) == "SignatureDoesNotMatch"
    in_query = head.query_string + b"&" + name + b"=bucket/other"
    assert refusal(changed(head, query=in_query)) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("query", [b"&acl", b"&uploadId=a", b"&attributes", b"&renameObject"])
def test_a_parameter_that_makes_another_request_must_be_signed(query: bytes) -> None:
    head = by_query()
    assert refusal(changed(head, query=head.query_string + query)) == "SignatureDoesNotMatch"


def test_another_method_or_path_is_refused() -> None:
    head = by_query()
    assert refusal(changed(head, method="DELETE")) == "SignatureDoesNotMatch"
    assert refusal(changed(head, path=b"/bucket/other")) == "SignatureDoesNotMatch"


def test_the_bucket_in_the_host_is_signed() -> None:
    head = by_query(path="/key", auth_path="/bucket/key")
    authenticator().authenticate(head, "bucket")
    assert refusal(head) == "SignatureDoesNotMatch"
    # A URL of one bucket's object is none of an object of another bucket.
    path_style = by_query(path="/bucket/key")
    assert refusal(path_style, host_bucket="other") == "SignatureDoesNotMatch"


def test_an_expired_url_is_refused() -> None:
    head = by_query(expires_s=60)
    with pytest.raises(S3Error, match="expired") as caught:
        authenticator(ShiftedClock(62)).authenticate(head)
    assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)


def test_an_old_header_signature_is_refused() -> None:
    with pytest.raises(S3Error) as caught:
        authenticator(ShiftedClock(16 * 60)).authenticate(by_header())
    assert caught.value.code == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    "query",
    [
        b"AWSAccessKeyId=A&Signature=x",
        b"AWSAccessKeyId=A&Signature=x&Expires=soon",
        b"AWSAccessKeyId=A&Signature=x&Expires=-1",
        b"AWSAccessKeyId=A&Signature=x&Expires=",
    ],
)
def test_a_malformed_url_is_refused(query: bytes) -> None:
    head = RequestHead("GET", b"/bucket/key", query, [(b"host", b"x")])
    assert refusal(head) == "AccessDenied"


def test_an_unknown_access_key_is_refused() -> None:
    expires = int(time.time()) + 60
    query = b"AWSAccessKeyId=A&Signature=x&Expires=%d" % expires
    head = RequestHead("GET", b"/bucket/key", query, [(b"host", b"x")])
    assert refusal(head) == "InvalidAccessKeyId"
    assert refusal(changed(by_header(), headers={b"authorization": b"AWS A:x"})) == (
        "InvalidAccessKeyId"
    )


@pytest.fixture(scope="module")
def s3() -> Iterator[LocalS3]:
    with running(LocalS3()) as local:
        yield local


def test_urls_of_a_boto3_client_without_any_configuration_work(s3: LocalS3) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name="us-east-1",
        aws_access_key_id="AKIATEST",
        aws_secret_access_key=LOCAL_SECRET,
    )
    client.create_bucket(Bucket="presigned")
    name = {"Bucket": "presigned", "Key": "a key+é"}
    url = client.generate_presigned_url(
        "put_object", {**name, "ContentType": "text/x", "Metadata": {"colour": "blue"}}
    )
    assert "AWSAccessKeyId" in url, "botocore presigns with version 4 now: drop this test"
    with urlopen(Request(url, b"signed", {"Content-Type": "text/x"}, method="PUT")) as answer:
        assert answer.status == 200
    url = client.generate_presigned_url("get_object", {**name, "ResponseContentType": "a/b"})
    with urlopen(url) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (b"signed", "a/b")
        assert answer.headers["x-amz-meta-colour"] == "blue"
    url = client.generate_presigned_url("delete_object", name)
    with urlopen(Request(url, method="DELETE")) as answer:
        assert answer.status == 204


def test_a_client_configured_for_version_2_works(s3: LocalS3) -> None:
    client = s3.client(signature_version="s3")
    client.create_bucket(Bucket="version-2")
    client.put_object(Bucket="version-2", Key="a/b c", Body=b"x", Metadata={"a": "b"})
    assert client.get_object(Bucket="version-2", Key="a/b c")["Body"].read() == b"x"
    assert [o["Key"] for o in client.list_objects_v2(Bucket="version-2")["Contents"]] == ["a/b c"]


def test_a_virtual_host_works(s3: LocalS3) -> None:
    s3.client().create_bucket(Bucket="hosted")
    s3.client().put_object(Bucket="hosted", Key="k", Body=b"x")
    client = s3.client(
        signature_version="s3",
        addressing_style="virtual",
        endpoint_url=f"http://s3.localhost:{s3.port}",
    )
    url = client.generate_presigned_url("get_object", {"Bucket": "hosted", "Key": "k"})
    parts = urlsplit(url)
    assert parts.netloc == f"hosted.s3.localhost:{s3.port}"
    request = Request(f"{s3.endpoint}{parts.path}?{parts.query}", headers={"Host": parts.netloc})
    with urlopen(request) as answer:
        assert answer.read() == b"x"
