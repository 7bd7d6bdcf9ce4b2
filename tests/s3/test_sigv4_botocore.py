"""Signatures made by botocore are accepted, whatever is in them, and nothing else is."""

from __future__ import annotations

import string
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.authentication import EMPTY_SHA256, PayloadKind
from trilith.s3.errors import S3Error
from trilith.s3.request_head import RequestHead

from .request_signing import ACCESS_KEY, HOST, authenticator, changed, presigned, signed_by_header

KEYS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40),
    st.lists(
        st.sampled_from(
            ["/", "//", "..", ".", "+", "%", " ", "%2F", "a", "é", "😀", "~", "*", "'"]
        ),
        min_size=1,
    ).map("".join),
)
QUERIES = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
        lambda name: not name.startswith("X-Amz-")
    ),
    st.text(st.characters(codec="utf-8"), max_size=20),
    max_size=5,
)
HEADER_VALUES = st.text(string.ascii_letters + string.digits + " \t,;=\"'/+", max_size=30)


def refusal(head: RequestHead) -> S3Error:
    with pytest.raises(S3Error) as caught:
        authenticator().authenticate(head)
    return caught.value


@given(KEYS)
def test_any_key_signed_in_the_header_is_accepted(key: str) -> None:
    head = signed_by_header(path="/bucket/" + quote(key, safe="/~"))
    assert authenticator().authenticate(head).identity.access_key_id == ACCESS_KEY


@given(KEYS, QUERIES)
def test_any_key_and_query_presigned_are_accepted(key: str, params: dict[str, str]) -> None:
    head = presigned(path="/bucket/" + quote(key, safe="/~"), params=params)
    assert authenticator().authenticate(head).payload is PayloadKind.UNSIGNED


@given(QUERIES)
def test_a_query_is_accepted_in_any_order_and_encoding(params: dict[str, str]) -> None:
    reordered = dict(reversed(params.items()))
    for wire_query in (urlencode(params), urlencode(reordered, quote_via=quote)):
        head = signed_by_header(params=params, wire_query=wire_query)
        authenticator().authenticate(head)
        assert sorted(head.query.pairs) == sorted(params.items())


@given(KEYS)
def test_a_path_that_a_proxy_encodes_otherwise_is_accepted(key: str) -> None:
    head = signed_by_header(path="/bucket/" + quote(key, safe="/~"))
    sub_delimiters = quote(key, safe="/~!$&'()*+,;=:@")
    authenticator().authenticate(changed(head, path=f"/bucket/{sub_delimiters}".encode()))
    escaped_all = "".join(f"%{byte:02x}" for byte in key.encode())
    authenticator().authenticate(changed(head, path=f"/bucket/{escaped_all}".encode()))


@given(st.dictionaries(st.sampled_from(["x-amz-meta-a", "x-amz-meta-b", "range"]), HEADER_VALUES))
def test_header_values_are_folded_as_botocore_folds_them(headers: dict[str, str]) -> None:
    authenticator().authenticate(signed_by_header(headers=headers))


@given(QUERIES)
def test_a_presigned_url_may_be_reordered_and_encoded_otherwise(params: dict[str, str]) -> None:
    head = presigned(params=params)
    backwards = b"&".join(reversed(head.query_string.split(b"&")))
    authenticator().authenticate(changed(head, query=backwards))
    authenticator().authenticate(changed(head, query=backwards.replace(b"%2F", b"%2f")))


def test_a_path_signed_as_it_was_sent_is_accepted() -> None:
    authenticator().authenticate(signed_by_header(path="/bucket/a+b(c)%2Fd%c3%a9"))
    authenticator().authenticate(presigned(path="/bucket/a+b(c)%2Fd%c3%a9"))


def test_repeated_query_parameters_and_names_without_a_value_are_signed() -> None:
    for query in ("tag=b&tag=a&tag-x=1&tag", "uploads", "a&a=&a=1", "delete="):
        head = signed_by_header(path=f"/bucket?{query}")
        authenticator().authenticate(changed(head, path=b"/bucket", query=query.encode()))


@given(KEYS, KEYS)
def test_a_signature_for_one_key_never_serves_another(key: str, other: str) -> None:
    path, other_path = (f"/bucket/{quote(k, safe='/~')}" for k in (key, other))
    if path == other_path:
        return
    for head in (signed_by_header(path=path), presigned(path=path)):
        assert refusal(changed(head, path=other_path.encode())).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("make", [signed_by_header, presigned])
def test_whatever_is_signed_cannot_be_changed(make) -> None:
    head = make("PUT", params={"partNumber": "1"}, headers={"x-amz-meta-colour": "red"})
    authenticator().authenticate(head)
    query = head.query_string
    altered = [
        changed(head, method="DELETE"),
        changed(head, path=b"/bucket/key2"),
        changed(head, path=b"/bucket//key"),
        changed(head, query=query.replace(b"partNumber=1", b"partNumber=2")),
        changed(head, query=query + b"&acl"),
        changed(head, query=query.replace(b"partNumber=1", b"")),
        changed(head, headers={b"host": b"elsewhere.example"}),
        changed(head, headers={b"x-amz-meta-colour": b"blue"}),
        changed(head, headers={b"x-amz-meta-colour": None}),
    ]
    for request in altered:
        error = refusal(request)
        assert error.code == "SignatureDoesNotMatch"
        assert error.status == 403
    assert set(error.elements) == {
        "AWSAccessKeyId",
        "StringToSign",
        "SignatureProvided",
        "StringToSignBytes",
        "CanonicalRequest",
        "CanonicalRequestBytes",
    }


def test_a_changed_signature_is_refused_whatever_it_holds() -> None:
    head = presigned()
    base, _, signature = head.query_string.rpartition(b"=")
    for bad in (b"", b"0" * 64, signature[:-1], signature.upper(), "é".encode(), b"%C3%BF%00"):
        assert refusal(changed(head, query=base + b"=" + bad)).code == "SignatureDoesNotMatch"


def test_the_body_hash_says_how_the_body_is_verified() -> None:
    assert authenticator().authenticate(signed_by_header()).content_sha256 == EMPTY_SHA256
    head = signed_by_header("PUT", body=b"hello")
    assert authenticator().authenticate(head).payload is PayloadKind.SIGNED
    assert authenticator().authenticate(presigned("PUT")).payload is PayloadKind.UNSIGNED


def test_a_repeated_header_is_signed_as_one_joined_by_commas() -> None:
    head = signed_by_header(headers={"x-amz-meta-list": "a,b"})
    split = [pair for pair in head.headers if pair[0] != b"x-amz-meta-list"]
    split += [(b"x-amz-meta-list", b"a"), (b"x-amz-meta-list", b"b")]
    authenticator().authenticate(RequestHead(head.method, head.raw_path, head.query_string, split))


def test_a_trusted_proxys_forwarded_host_is_the_one_that_was_signed() -> None:
    head = presigned()
    headers = [(b"host", b"10.0.0.7:9000"), (b"x-forwarded-host", HOST.encode() + b", inner")]
    parts = (head.method, head.raw_path, head.query_string, headers)
    authenticator().authenticate(RequestHead(*parts, trust_forwarded_host=True))
    assert refusal(RequestHead(*parts)).code == "SignatureDoesNotMatch"
