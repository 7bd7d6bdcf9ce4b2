"""Signing keys are AWS's, and their cache never outlives the credential."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from trilith.iam.credentials import root_credential
from trilith.iam.signing_keys import SigningKey, SigningKeys

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def derived(secret: str, *parts: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def test_the_key_is_the_one_of_awss_documentation() -> None:
    key = derived(SECRET, "20150830", "us-east-1", "iam", "aws4_request")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    signing = SigningKey(root_credential("AKIA", SECRET), "20150830", "us-east-1", "iam")
    assert signing.sign(b"text") == hmac.digest(key, b"text", "sha256").hex()
    assert signing.scope == b"20150830/us-east-1/iam/aws4_request"


@given(st.text(st.characters(codec="utf-8")), st.binary(max_size=300))
def test_the_prepared_key_signs_as_hmac_does(secret: str, message: bytes) -> None:
    scope = ("20240229", "eu-west-1", "s3")
    expected = hmac.digest(derived(secret, *scope, "aws4_request"), message, "sha256").hex()
    key = SigningKey(root_credential("AKIA", secret), *scope)
    assert key.sign(message) == expected
    assert key.sign(message) == expected


def test_a_key_is_derived_once_for_its_scope() -> None:
    keys = SigningKeys()
    credential = root_credential("AKIA", SECRET)
    first = keys.get(credential, "20240229", "us-east-1", "s3")
    assert keys.get(credential, "20240229", "us-east-1", "s3") is first
    assert keys.get(credential, "20240301", "us-east-1", "s3") is not first
    assert keys.get(credential, "20240229", "us-east-2", "s3") is not first


def test_a_rotated_secret_is_signed_with_from_the_first_request() -> None:
    keys = SigningKeys()
    scope = ("20240229", "us-east-1", "s3")
    old = keys.get(root_credential("AKIA", "old"), *scope)
    new = keys.get(root_credential("AKIA", "new"), *scope)
    assert new.sign(b"x") != old.sign(b"x")
    assert len(keys) == 1


def test_the_cache_is_bounded_and_keeps_what_was_used_last() -> None:
    keys = SigningKeys(capacity=3)
    credential = root_credential("AKIA", SECRET)
    first = keys.get(credential, "20240101", "r", "s3")
    for day in range(20240102, 20240110):
        keys.get(credential, str(day), "r", "s3")
        assert keys.get(credential, "20240101", "r", "s3") is first
        assert len(keys) <= 3
