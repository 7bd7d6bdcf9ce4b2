"""Credentials: found by access key id, an identity without secrets."""

from __future__ import annotations

from trilith.iam.credentials import StaticCredentials, root_credential


def test_a_credential_is_found_by_its_access_key_id_alone() -> None:
    root = root_credential("AKIA1", "secret")
    store = StaticCredentials([root])
    assert store.find("AKIA1") is root
    assert store.find("akia1") is None
    assert store.find("") is None


def test_secrets_do_not_show_in_representations() -> None:
    root = root_credential("AKIA1", "open sesame")
    assert "sesame" not in repr(root)
    assert "sesame" not in repr(root.identity)


def test_the_root_account_stays_itself_when_its_keys_are_rotated() -> None:
    old = root_credential("AKIA1", "one").identity
    new = root_credential("AKIA2", "two").identity
    assert (old.account_id, old.canonical_user_id, old.salt_id) == (
        new.account_id,
        new.canonical_user_id,
        new.salt_id,
    )
    assert len(old.canonical_user_id) == 64
    assert old.is_root
