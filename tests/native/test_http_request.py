import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.native.general_parser import require_same

from trilith_native.http_request import response_head, whole_request

POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
NAMES = st.sampled_from(
    [
        *(b"Host", b"X-Amz-Date", b"a", b"", b"b ad", b"Content-Length", b"content-length"),
        *(b"Transfer-Encoding", b"Connection", b"Expect", b"Upgrade", b"Proxy-Connection"),
    ]
)
VALUES = st.sampled_from(
    [
        *(b"0", b"2", b"02", b"+2", b"-1", b"2, 2", b"99999999999999999999", b"", b"x y"),
        *(b"chunked", b"identity", b"close", b"Keep-Alive", b"keep-alive, close", b"upgrade"),
        *(b"100-continue", b"h2c", b" x", b"x ", b"\tx", b"\xe9", b"a\x00b", b"a\x0bb"),
    ]
)
LINES = st.tuples(NAMES, st.sampled_from([b":", b": ", b":  ", b" : "]), VALUES).map(b"".join)
REQUEST_LINES = st.sampled_from(
    [
        *(b"POST / HTTP/1.1", b"GET /a?b=c HTTP/1.1", b"HEAD /%20 HTTP/1.1", b"PUT /a|b HTTP/1.1"),
        *(b"POST / HTTP/1.0", b"POST /  HTTP/1.1", b" POST / HTTP/1.1", b"PATCH / HTTP/1.1"),
        *(b"CONNECT h:1 HTTP/1.1", b"GET http://h/ HTTP/1.1", b"GET * HTTP/1.1", b"GET /\xc3\xa9"),
    ]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n "])


def test_a_plain_request_is_read_whole() -> None:
    assert whole_request(POST, 8192) == (
        "POST",
        b"/",
        [(b"host", b"h"), (b"content-length", b"2")],
        b"ab",
    )
    got = whole_request(b"GET /?a HTTP/1.1\r\nHOST:\r\n\r\n", 8192)
    assert got == ("GET", b"/?a", [(b"host", b"")], b"")
    kept = b"DELETE /x HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n"
    assert whole_request(kept, 8192) is not None


@pytest.mark.parametrize(
    "data",
    [
        POST[:-1],
        POST + b"P",
        POST + POST,
        b"\r\n" + POST,
        POST.replace(b"\r\n", b"\n"),
        POST.replace(b"Host: h\r\n", b""),
        POST.replace(b"Host: h", b"Host: h\r\nhost: h"),
        POST.replace(b"1.1", b"1.0"),
        POST.replace(b"POST", b"PATCH"),
        POST.replace(b"Host:", b"Host :"),
        POST.replace(b"Host: h", b"Host: h "),
        POST.replace(b"Host: h", b"Host: h\r\n folded"),
        POST.replace(b"Host: h", b"Connection: close"),
        POST.replace(b"Host: h", b"Expect: 100-continue"),
        POST.replace(b"Host: h", b"Transfer-Encoding: chunked"),
        POST.replace(b"Host: h", b"Content-Length: 2"),
        POST.replace(b"Length: 2", b"Length: +2"),
        POST.replace(b"Length: 2", b"Length: 99999999999999999999"),
    ],
)
def test_anything_else_is_left_to_the_general_parser(data: bytes) -> None:
    assert whole_request(data, 8192) is None


def test_a_head_beyond_its_limit_is_not_plain() -> None:
    head = len(POST) - 2
    assert whole_request(POST, head) is not None
    assert whole_request(POST, head - 1) is None


@given(REQUEST_LINES, st.lists(st.tuples(LINES, ENDS)), ENDS, st.binary(max_size=4), ENDS)
@example(b"POST / HTTP/1.1", [(b"Content-Length: 2", b"\r\n")], b"\r\n", b"ab", b"\r\n")
def test_what_is_accepted_the_general_parser_reads_the_same_way(
    line: bytes, headers: list[tuple[bytes, bytes]], blank: bytes, body: bytes, end: bytes
) -> None:
    data = line + end + b"".join(b"".join(one) for one in headers) + blank + body
    found = whole_request(data, 8192)
    if found is not None:
        require_same(data, found)


@given(st.integers(0, len(POST)), st.integers(0, 255), st.booleans())
def test_one_byte_changed_or_added_never_makes_the_two_disagree(
    place: int, byte: int, added: bool
) -> None:
    data = POST[:place] + bytes((byte,)) + POST[place if added else place + 1 :]
    found = whole_request(data, 8192)
    if found is not None:
        require_same(data, found)


PARTS = st.binary(max_size=8) | st.sampled_from([b"\r", b"a\nb", b"\0"])


@given(st.lists(st.tuples(PARTS, PARTS), max_size=5), st.booleans(), st.booleans())
def test_a_head_is_what_the_plain_joining_makes_or_refused(
    headers: list[tuple[bytes, bytes]], close: bool, chunked: bool
) -> None:
    parts = [b"HTTP/1.1 200 OK\r\n"]
    parts += [b"%b: %b\r\n" % header for header in headers]
    parts += [b"connection: close\r\n"] * close + [b"transfer-encoding: chunked\r\n"] * chunked
    breaks = any(byte in b"\r\n\0" for header in headers for text in header for byte in text)
    if breaks:
        with pytest.raises(ValueError, match="line break"):
            response_head(parts[0], headers, close, chunked)
    else:
        assert response_head(parts[0], headers, close, chunked) == b"".join(parts) + b"\r\n"
