"""Who may sign requests: access keys, and the port through which the protocols look them up.

Today there is the root account; users, temporary credentials and policies come behind the same
port. Lookups are synchronous and local: authorizing a request never costs a hop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """The authenticated caller, without secrets.

    `salt_id` names the account's deduplication salt (DESIGN §6): equal salt ids may share chunks.
    """

    access_key_id: str
    account_id: str
    canonical_user_id: str
    display_name: str
    salt_id: str
    is_root: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key. `session_token` is set for temporary credentials and must accompany them."""

    identity: Identity
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class CredentialSource(Protocol):
    """Where the protocols find access keys.

    Returns the *same object* for a key as long as nothing of it changed, and a new one (or None)
    after a change: caches of derived keys hold on to the object and compare by identity.
    """

    def find(self, access_key_id: str) -> Credential | None: ...


class StaticCredentials:
    """A fixed set of credentials: the root account's."""

    def __init__(self, credentials: Iterable[Credential]) -> None:
        self._by_access_key_id = {c.identity.access_key_id: c for c in credentials}

    def find(self, access_key_id: str) -> Credential | None:
        return self._by_access_key_id.get(access_key_id)


ROOT_ACCOUNT_ID = "000000000001"


def root_credential(access_key_id: str, secret_key: str) -> Credential:
    """The root account's credential. Its account does not change when its keys are rotated."""
    return Credential(
        identity=Identity(
            access_key_id=access_key_id,
            account_id=ROOT_ACCOUNT_ID,
            canonical_user_id=canonical_user_id(ROOT_ACCOUNT_ID),
            display_name="root",
            salt_id=ROOT_ACCOUNT_ID,
            is_root=True,
        ),
        secret_key=secret_key,
    )


def canonical_user_id(account_id: str) -> str:
    """64 hex digits, as S3 names an owner; a function of the account alone."""
    return hashlib.sha256(b"trilith canonical user id\0" + account_id.encode()).hexdigest()
