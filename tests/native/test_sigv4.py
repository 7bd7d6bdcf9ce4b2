import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.native import oracles

from trilith_native.sigv4 import SigningState, request_signature

KEYS = st.binary(max_size=64)
NAMES = (b"host", b"x-amz-date", b"x-amz-target", b"x-odd")
VALUES = st.binary(max_size=40) | st.text(" \t\n\x0bab", max_size=12).map(str.encode)


@given(KEYS, st.binary(max_size=300))
def test_a_state_signs_as_hmac_does_and_again(key: bytes, message: bytes) -> None:
    state = SigningState(key)
    expected = hmac.digest(key, message, "sha256").hex().encode()
    assert state.sign(message) == expected
    assert state.sign(message) == expected


def test_a_key_of_more_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="65 bytes"):
        SigningState(bytes(65))


@given(
    KEYS,
    st.lists(st.sampled_from(NAMES), max_size=6),
    st.dictionaries(st.sampled_from(NAMES), VALUES),
    st.binary(max_size=200),
    st.tuples(*[st.binary(max_size=20)] * 6),
)
def test_a_request_is_signed_as_the_oracle_signs_it(
    key: bytes,
    names: list[bytes],
    headers: dict[bytes, bytes],
    body: bytes,
    texts: tuple[bytes, ...],
) -> None:
    method, path, query, signed_text, timestamp, scope = texts
    signed = tuple((name, name + b":") for name in names)
    found = request_signature(
        SigningState(key), method, path, query, signed, signed_text, headers, body, timestamp, scope
    )
    assert found == oracles.request_signature(
        key, method, path, query, tuple(names), signed_text, headers, body, timestamp, scope
    )


def test_other_types_than_bytes_are_refused() -> None:
    state, empty = SigningState(b""), b""
    with pytest.raises(TypeError):
        request_signature(
            state, empty, empty, empty, ((b"a", b"a:"),), empty,
            {b"a": "text"},  # type: ignore[dict-item]
            empty, empty, empty,
        )  # fmt: skip
    with pytest.raises(TypeError):
        state.sign("text")  # type: ignore[arg-type]
