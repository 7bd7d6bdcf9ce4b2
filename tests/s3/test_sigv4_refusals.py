"""Each way in which a signed request can be wrong has its own S3 error."""

from __future__ import annotations

import pytest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from trilith.iam.credentials import Credential, StaticCredentials, root_credential
from trilith.s3.errors import S3Error
from trilith.s3.request_head import RequestHead
from trilith.s3.sigv4 import SigV4Authenticator

from .request_signing import (
    ACCESS_KEY,
    SECRET_KEY,
    ShiftedClock,
    authenticator,
    changed,
    presigned,
    signed_by_header,
)


def refusal(head: RequestHead, clock: ShiftedClock | None = None) -> S3Error:
    with pytest.raises(S3Error) as caught:
        authenticator(clock).authenticate(head)
    return caught.value


def with_authorization(old: bytes, new: bytes) -> RequestHead:
    head = signed_by_header()
    text = head.header_map[b"authorization"]
    assert old in text
    return changed(head, headers={b"authorization": text.replace(old, new)})


def with_parameter(old: bytes, new: bytes) -> RequestHead:
    head = presigned()
    assert old in head.query_string
    return changed(head, query=head.query_string.replace(old, new))


def test_an_unsigned_request_is_denied() -> None:
    error = refusal(RequestHead("GET", b"/bucket", b"list-type=2", [(b"host", b"x")]))
    assert (error.code, error.status) == ("AccessDenied", 403)


def test_an_unknown_access_key_is_named() -> None:
    stranger = Credentials("AKIASTRANGER", "secret")
    for head in (signed_by_header(client=stranger), presigned(client=stranger)):
        error = refusal(head)
        assert (error.code, error.status) == ("InvalidAccessKeyId", 403)
        assert error.elements == {"AWSAccessKeyId": "AKIASTRANGER"}


def test_a_wrong_secret_does_not_match() -> None:
    forger = Credentials(ACCESS_KEY, "guess")
    assert refusal(signed_by_header(client=forger)).code == "SignatureDoesNotMatch"
    assert refusal(presigned(client=forger)).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("offset_s", [-15 * 60 - 5, 15 * 60 + 5])
def test_a_clock_more_than_15_minutes_off_is_too_skewed(offset_s: int) -> None:
    error = refusal(signed_by_header(), ShiftedClock(offset_s))
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)
    assert error.elements["MaxAllowedSkewMilliseconds"] == 900_000
    assert set(error.elements) >= {"RequestTime", "ServerTime"}


@pytest.mark.parametrize("offset_s", [-15 * 60 + 30, 15 * 60 - 30])
def test_a_clock_up_to_15_minutes_off_is_accepted(offset_s: int) -> None:
    authenticator(ShiftedClock(offset_s)).authenticate(signed_by_header())


def test_a_presigned_url_expires() -> None:
    authenticator(ShiftedClock(3500)).authenticate(presigned(expires_s=3600))
    error = refusal(presigned(expires_s=3600), ShiftedClock(3700))
    assert (error.code, error.message) == ("AccessDenied", "Request has expired")
    assert set(error.elements) == {"X-Amz-Expires", "Expires", "ServerTime"}
    authenticator(ShiftedClock(604_700)).authenticate(presigned(expires_s=604_800))


def test_a_presigned_url_of_the_future_is_not_valid_yet() -> None:
    error = refusal(presigned(), ShiftedClock(-3600))
    assert (error.code, error.message) == ("AccessDenied", "Request is not valid yet")


@pytest.mark.parametrize(
    ("expires", "message"),
    [
        (b"604801", "less than a week"),
        (b"99999999999999999999999", "less than a week"),
        (b"-1", "non-negative"),
        (b"0", "at least 1 second"),
        (b"soon", "should be a number"),
        (b"", "should be a number"),
        (b"%D9%A3", "should be a number"),
        (b"1e3", "should be a number"),
    ],
)
def test_an_expiry_out_of_bounds_is_a_parameter_error(expires: bytes, message: str) -> None:
    error = refusal(with_parameter(b"X-Amz-Expires=3600", b"X-Amz-Expires=" + expires))
    assert error.code == "AuthorizationQueryParametersError"
    assert message in error.message


def test_a_wrong_region_is_told_the_right_one() -> None:
    error = refusal(signed_by_header(region="eu-west-3"))
    assert (error.code, error.status) == ("AuthorizationHeaderMalformed", 400)
    assert error.message == (
        "The authorization header is malformed; the region 'eu-west-3' is wrong; expecting "
        "'us-east-1'"
    )
    assert error.elements == {"Region": "us-east-1"}
    assert error.headers == ((b"x-amz-bucket-region", b"us-east-1"),)
    error = refusal(presigned(region="eu-west-3"))
    assert error.code == "AuthorizationQueryParametersError"
    assert error.elements == {"Region": "us-east-1"}


def test_any_region_is_accepted_when_so_configured() -> None:
    authenticator(any_region=True).authenticate(signed_by_header(region="eu-west-3"))
    authenticator(any_region=True).authenticate(presigned(region="eu-west-3"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"/s3/", b"/dynamodb/", 'incorrect service "dynamodb"'),
        (b"/aws4_request", b"/aws5_request", 'incorrect terminal "aws5_request"'),
        (b"/s3/aws4_request", b"", "the Credential is mal-formed"),
        (b"Credential=", b"Creditential=", "missing Credential."),
        (b"SignedHeaders=", b"Headers=", "missing SignedHeaders."),
        (b"Signature=", b"Sig=", "missing Signature."),
        (b"Credential=", b"Credential ", "is malformed."),
        (b"/us-east-1", b"", "the Credential is mal-formed"),
        (b"/20", b"/x0", "incorrect date format"),
        (b"/20", b"/19", "Invalid credential date"),
    ],
)
def test_a_malformed_authorization_header_says_what_is_wrong(
    old: bytes, new: bytes, message: str
) -> None:
    error = refusal(with_authorization(old, new))
    assert (error.code, error.status) == ("AuthorizationHeaderMalformed", 400)
    assert message in error.message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"X-Amz-Algorithm=AWS4-HMAC-SHA256", b"X-Amz-Algorithm=AWS9", "only supports"),
        (b"%2Fs3%2F", b"%2Fsqs%2F", 'incorrect service "sqs"'),
        (b"%2Faws4_request", b"", "the Credential is mal-formed"),
        (b"X-Amz-Date=20", b"X-Amz-Date=x0", "ISO8601"),
        (b"X-Amz-Date=20", b"X-Amz-Date=19", "Invalid credential date"),
        (b"X-Amz-Date=", b"X-Amz-Day=", "requires the X-Amz-Algorithm"),
        (b"X-Amz-Expires=", b"X-Amz-Until=", "requires the X-Amz-Algorithm"),
    ],
)
def test_malformed_query_parameters_say_what_is_wrong(old: bytes, new: bytes, message: str) -> None:
    error = refusal(with_parameter(old, new))
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)
    assert message in error.message


def test_both_mechanisms_at_once_are_refused() -> None:
    head = presigned()
    authorization = signed_by_header().header_map[b"authorization"]
    error = refusal(changed(head, headers={b"authorization": authorization}))
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert "Only one auth mechanism allowed" in error.message


def test_signature_version_4a_is_refused_by_name() -> None:
    authorization = b"AWS4-ECDSA-P256-SHA256 Credential=AKIA/20130524/s3/aws4_request"
    error = refusal(changed(signed_by_header(), headers={b"authorization": authorization}))
    assert (error.code, error.status) == ("InvalidRequest", 400)
    assert "4A" in error.message


def test_a_query_signature_of_version_4a_is_refused_by_name() -> None:
    error = refusal(
        with_parameter(b"Algorithm=AWS4-HMAC-SHA256", b"Algorithm=AWS4-ECDSA-P256-SHA256")
    )
    assert "4A" in error.message


@pytest.mark.parametrize("authorization", [b"Bearer abc", b"Basic dTpw", b"", b"   ", b"\xff\xfe"])
def test_other_authorization_schemes_are_unsupported(authorization: bytes) -> None:
    error = refusal(changed(signed_by_header(), headers={b"authorization": authorization}))
    assert (error.code, error.message) == ("InvalidArgument", "Unsupported Authorization Type")


@pytest.mark.parametrize("name", [b"x-amz-acl", b"x-amz-meta-added", b"x-amz-copy-source"])
def test_an_amz_header_that_was_not_signed_is_refused(name: bytes) -> None:
    for head in (signed_by_header(), presigned()):
        error = refusal(changed(head, headers={name: b"1"}))
        assert (error.code, error.status) == ("AccessDenied", 403)
        assert error.elements == {"HeadersNotSigned": name.decode()}


def test_the_host_must_be_signed() -> None:
    error = refusal(with_parameter(b"SignedHeaders=host", b"SignedHeaders=range"))
    assert error.elements == {"HeadersNotSigned": "host"}


def test_a_request_without_a_payload_hash_is_refused() -> None:
    error = refusal(changed(signed_by_header(), headers={b"x-amz-content-sha256": None}))
    assert error.code == "InvalidRequest"
    assert error.message == "Missing required header for this request: x-amz-content-sha256"


@pytest.mark.parametrize(
    "value", [b"", b"abc", b"z" * 64, b"STREAMING-AWS4-HMAC-SHA1", b"\xff" * 64]
)
def test_a_payload_hash_that_is_none_is_an_invalid_argument(value: bytes) -> None:
    error = refusal(changed(signed_by_header(), headers={b"x-amz-content-sha256": value}))
    assert error.code == "InvalidArgument"
    assert error.elements["ArgumentName"] == "x-amz-content-sha256"


def test_ecdsa_signed_chunks_are_refused_by_name() -> None:
    value = b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"
    error = refusal(changed(signed_by_header(), headers={b"x-amz-content-sha256": value}))
    assert (error.code, error.status) == ("NotImplemented", 501)
    assert value.decode() in error.message


@pytest.mark.parametrize("date", [None, b"", b"yesterday", b"20130230T000000Z", b"2013\xb2\xb20T"])
def test_a_request_without_a_valid_date_is_denied(date: bytes | None) -> None:
    error = refusal(changed(signed_by_header(), headers={b"x-amz-date": date}))
    assert error.code == "AccessDenied"
    assert "valid Date or x-amz-date" in error.message


def test_a_session_token_belongs_to_its_credential() -> None:
    temporary = Credentials(ACCESS_KEY, SECRET_KEY, "token-1")
    for head in (signed_by_header(client=temporary), presigned(client=temporary)):
        assert refusal(head).code == "InvalidToken"
    root = root_credential(ACCESS_KEY, SECRET_KEY)
    session = Credential(root.identity, root.secret_key, session_token="token-1")
    verifier = SigV4Authenticator(StaticCredentials([session]), ShiftedClock(), region="us-east-1")
    verifier.authenticate(signed_by_header(client=temporary))
    verifier.authenticate(presigned(client=temporary))
    for client in (Credentials(ACCESS_KEY, SECRET_KEY), Credentials(ACCESS_KEY, SECRET_KEY, "t")):
        with pytest.raises(S3Error, match="InvalidToken"):
            verifier.authenticate(signed_by_header(client=client))


@pytest.mark.parametrize("query", [b"prefix=%ff", b"%c3=1", b"prefix=\xe4", b"prefix=%ed%a0%80"])
def test_a_query_that_is_not_utf8_is_an_invalid_uri(query: bytes) -> None:
    error = refusal(changed(signed_by_header(), query=query))
    assert (error.code, error.status) == ("InvalidURI", 400)


@given(
    st.binary(max_size=60),
    st.binary(max_size=120),
    st.dictionaries(
        st.sampled_from(
            [b"authorization", b"x-amz-date", b"date", b"host", b"x-amz-content-sha256"]
        ),
        st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(b"AWS4-HMAC-SHA256 ".__add__)),
    ),
)
def test_garbage_is_refused_and_never_a_crash(
    path: bytes, query: bytes, headers: dict[bytes, bytes]
) -> None:
    assert refusal(RequestHead("GET", path, query, list(headers.items()))).status < 500
    for head in (signed_by_header(), presigned()):
        query_string = head.query_string + b"&" + query if head.query_string else query
        mixed = changed(head, path=b"/" + path, query=query_string, headers=dict(headers))
        assert refusal(changed(mixed, headers={b"host": b"?"})).status < 500
