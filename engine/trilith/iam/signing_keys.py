"""Signature Version 4 signing keys: derived once a day per credential, then cached pre-keyed.

Source: AWS General Reference, "Derive a signing key for Signature Version 4"; HMAC is RFC 2104.
A one-shot HMAC through OpenSSL costs about 2 us, mostly set-up; the two halves of its key schedule
are therefore kept as SHA-256 states and copied (trilith_native.sigv4).
"""

from __future__ import annotations

import hmac
from collections import OrderedDict

from trilith.iam.credentials import Credential
from trilith_native.sigv4 import SigningState

TERMINATOR = "aws4_request"


class SigningKey:
    """A key for one credential, day, region and service. Immutable; shared between requests."""

    __slots__ = ("credential", "scope", "state")

    def __init__(self, credential: Credential, date: str, region: str, service: str) -> None:
        key = b"AWS4" + credential.secret_key.encode()
        for part in (date, region, service, TERMINATOR):
            key = hmac.digest(key, part.encode(), "sha256")
        self.state = SigningState(key)
        self.credential = credential
        self.scope = f"{date}/{region}/{service}/{TERMINATOR}".encode()

    def sign(self, message: bytes) -> str:
        """HMAC-SHA256 in lower-case hex."""
        return self.state.sign(message).decode()


class SigningKeys:
    """A bounded LRU of signing keys. Only keys of existing credentials enter it."""

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._keys: OrderedDict[tuple[str, str, str, str], SigningKey] = OrderedDict()

    def get(self, credential: Credential, date: str, region: str, service: str) -> SigningKey:
        """The key for this scope; a changed credential (another object) gets a new key."""
        name = (credential.identity.access_key_id, date, region, service)
        key = self._keys.get(name)
        if key is not None and key.credential is credential:
            self._keys.move_to_end(name)
            return key
        key = self._keys[name] = SigningKey(credential, date, region, service)
        self._keys.move_to_end(name)
        if len(self._keys) > self._capacity:
            self._keys.popitem(last=False)
        return key

    def __len__(self) -> int:
        return len(self._keys)
