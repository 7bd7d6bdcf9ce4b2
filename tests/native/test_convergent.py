import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from trilith_native import convergent

from . import aes_gcm_oracle

keys = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=12, max_size=12)
KEY, NONCE, SALT = bytes(range(32)), bytes(12), b"s" * 32


def test_the_published_vectors_of_gcm_come_out() -> None:
    # McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 and 14.
    assert convergent.seal(bytes(32), bytes(12), b"").hex() == "530f8afbc74536b9a963b4f1c4cb738b"
    assert convergent.seal(bytes(32), bytes(12), bytes(16)).hex() == (
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    )


@settings(max_examples=30)
@given(keys, nonces, st.binary(max_size=70), st.binary(max_size=40))
def test_sealing_equals_the_oracle_and_opens_again(
    key: bytes, nonce: bytes, plaintext: bytes, aad: bytes
) -> None:
    sealed = convergent.seal(key, nonce, plaintext, aad)
    assert sealed == aes_gcm_oracle.seal(key, nonce, plaintext, aad)
    assert convergent.open(key, nonce, memoryview(sealed), bytearray(aad)) == plaintext


@given(st.binary(max_size=50), st.binary(max_size=20), st.data())
def test_any_flipped_bit_is_refused(plaintext: bytes, aad: bytes, data: st.DataObject) -> None:
    parts = [KEY, NONCE, convergent.seal(KEY, NONCE, plaintext, aad), aad]
    which = data.draw(st.integers(0, 3).filter(lambda i: len(parts[i]) > 0))
    bit = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << (bit % 8)
    parts[which] = bytes(changed)
    with pytest.raises(ValueError, match="authenticate"):
        convergent.open(*parts)
    # A context that saw a forgery serves the next caller well.
    assert convergent.open(KEY, NONCE, convergent.seal(KEY, NONCE, b"good")) == b"good"


@pytest.mark.parametrize("size", [16_383, 16_384, 1_000_003])
def test_large_messages_come_back_and_forged_ones_do_not(size: int) -> None:
    plaintext = os.urandom(size)
    sealed = bytearray(convergent.seal(KEY, NONCE, plaintext, b"aad"))
    assert len(sealed) == size + convergent.TAG_SIZE
    assert convergent.open(KEY, NONCE, sealed, b"aad") == plaintext
    sealed[size // 2] ^= 1
    with pytest.raises(ValueError, match="authenticate"):
        convergent.open(KEY, NONCE, sealed, b"aad")


@given(keys)
def test_key_and_id_are_blake3_derivations_of_the_digest(digest: bytes) -> None:
    key = blake3(digest, derive_key_context="trilith v1 chunk key").digest()
    chunk_id = blake3(digest, derive_key_context="trilith v1 chunk id").digest()
    assert convergent.derive(digest) == (key, chunk_id)


@given(keys, st.binary(max_size=200))
def test_a_sealed_chunk_is_the_hash_derive_encrypt_pipeline(salt: bytes, plaintext: bytes) -> None:
    chunk_id, key, sealed = convergent.seal_chunk(salt, memoryview(plaintext))
    assert (key, chunk_id) == convergent.derive(blake3(plaintext, key=salt).digest())
    assert sealed == convergent.seal(key, bytes(12), plaintext)
    assert convergent.open_chunk(key, sealed) == plaintext


def test_the_chunk_of_known_bytes_is_that_of_the_format() -> None:
    # Changing these ends deduplication with everything already stored.
    chunk_id, key, sealed = convergent.seal_chunk(SALT, b"trilith")
    assert chunk_id.hex() == "8bc5e93e9aa979bd6bcd0372b6e4a86ea16d3b5c2a94d1abc02630ecd1c86be3"
    assert key.hex() == "5333140a223f19706446ce2dca450f1981618b84a05e85cfbf715bac7d4dc158"
    assert sealed.hex() == "16b28182b99343615c789cfe1f8891f6fd90ee6e599c4e"


def test_equal_chunks_are_equal_under_one_salt_only() -> None:
    one = convergent.seal_chunk(SALT, b"the same bytes")
    other = convergent.seal_chunk(b"t" * 32, b"the same bytes")
    assert one == convergent.seal_chunk(SALT, b"the same bytes")
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_more_threads_than_kept_contexts_seal_and_open_alike() -> None:
    plaintexts = [bytes([i]) * (200_000 + i) for i in range(48)]

    def there_and_back(plaintext: bytes) -> bytes:
        _, key, sealed = convergent.seal_chunk(SALT, plaintext)
        return convergent.open_chunk(key, sealed)

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(there_and_back, plaintexts)) == plaintexts


@pytest.mark.parametrize(
    ("key", "nonce"), [(b"k" * 31, NONCE), (b"k" * 33, NONCE), (KEY, b"n" * 11)]
)
def test_keys_and_nonces_of_another_length_are_refused(key: bytes, nonce: bytes) -> None:
    for function in (convergent.seal, convergent.open):
        with pytest.raises(ValueError, match="bytes"):
            function(key, nonce, bytes(20))


def test_wrong_salts_digests_and_stumps_are_refused() -> None:
    with pytest.raises(ValueError, match="salt"):
        convergent.seal_chunk(b"short", b"")
    with pytest.raises(ValueError, match="digest"):
        convergent.derive(b"short")
    for size in range(16):
        with pytest.raises(ValueError, match="no tag"):
            convergent.open_chunk(KEY, bytes(size))
