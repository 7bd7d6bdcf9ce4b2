"""The worked examples of AWS's documentation verify to the letter.

Source: S3 API Reference, "Signature Calculations for the Authorization Header" (single chunk,
multiple chunks, with trailing headers) and "Using Query Parameters".
"""

from __future__ import annotations

import pytest

from trilith.s3.authentication import EMPTY_SHA256, Authentication
from trilith.s3.aws_chunked import ChunkedDecoder
from trilith.s3.request_head import RequestHead
from trilith.s3.sigv4_claims import parse_timestamp

from .request_signing import ShiftedClock, authenticator

CLOCK = ShiftedClock(stopped_at_ms=parse_timestamp("20130524T000000Z"))
SCOPE = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"


def authenticated(method: str, target: str, signature: str, **headers: str) -> Authentication:
    path, _, query = target.partition("?")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("host", "examplebucket.s3.amazonaws.com")
    named.setdefault("x-amz-date", "20130524T000000Z")
    named.setdefault("x-amz-content-sha256", EMPTY_SHA256)
    signed = ";".join(sorted(named))
    named["authorization"] = f"{SCOPE},SignedHeaders={signed},Signature={signature}"
    wire = [(name.encode(), value.encode()) for name, value in named.items()]
    return authenticator(CLOCK).authenticate(
        RequestHead(method, path.encode(), query.encode(), wire)
    )


@pytest.mark.parametrize(
    ("method", "target", "signature", "headers"),
    [
        (
            "GET",
            "/test.txt",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            {"range": "bytes=0-9"},
        ),
        (
            "PUT",
            "/test$file.text",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x_amz_storage_class": "REDUCED_REDUNDANCY",
                "x_amz_content_sha256": (
                    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
                ),
            },
        ),
        (
            "GET",
            "/?lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            {},
        ),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            {},
        ),
    ],
)
def test_the_header_examples_verify(
    method: str, target: str, signature: str, headers: dict[str, str]
) -> None:
    authenticated(method, target, signature, **headers)


def test_the_presigned_example_verifies() -> None:
    query = (
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
        b"us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        b"&X-Amz-SignedHeaders=host&X-Amz-Signature="
        b"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    headers = [(b"host", b"examplebucket.s3.amazonaws.com")]
    authenticator(CLOCK).authenticate(RequestHead("GET", b"/test.txt", query, headers))


CHUNKS = {
    "host": "s3.amazonaws.com",
    "x_amz_storage_class": "REDUCED_REDUNDANCY",
    "content_encoding": "aws-chunked",
    "x_amz_decoded_content_length": "66560",
}


def test_the_chunked_example_verifies() -> None:
    authentication = authenticated(
        "PUT",
        "/examplebucket/chunkObject.txt",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        **CHUNKS,
        content_length="66824",
        x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    )
    body = (
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
        b"\r\n" + b"a" * 65536 + b"\r\n"
        b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
        b"\r\n" + b"a" * 1024 + b"\r\n"
        b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
        b"\r\n\r\n"
    )
    assert len(body) == 66824
    decoder = ChunkedDecoder(authentication.payload, 66560, signer=authentication.chunk_signer)
    assert b"".join(decoder.feed(body)) == b"a" * 66560
    assert decoder.complete


def test_the_example_with_a_trailing_checksum_verifies() -> None:
    authentication = authenticated(
        "PUT",
        "/examplebucket/chunkObject.txt",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        **CHUNKS,
        x_amz_trailer="x-amz-checksum-crc32c",
        x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    )
    body = (
        b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"
        b"\r\n" + b"a" * 65536 + b"\r\n"
        b"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
        b"\r\n" + b"a" * 1024 + b"\r\n"
        b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
        b"\r\nx-amz-checksum-crc32c:sOO8/Q==\n\r\n"
        b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
        b"\r\n\r\n"
    )
    decoder = ChunkedDecoder(
        authentication.payload,
        66560,
        signer=authentication.chunk_signer,
        trailer_names=[b"x-amz-checksum-crc32c"],
    )
    assert b"".join(decoder.feed(body)) == b"a" * 66560
    assert decoder.trailers == {b"x-amz-checksum-crc32c": b"sOO8/Q=="}
    assert decoder.complete
