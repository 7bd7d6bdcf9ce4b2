"""Who the SDK is to the cluster, where its access key is found, the tokens made from it; and whom
it trusts.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import grpc

from trilith.errors import Unauthenticated
from trilith.iam.bearer_tokens import LIFETIME_S, issue

DEFAULT_DATA = "trilith-data"
_PAIRS = (
    ("TRILITH_ROOT_ACCESS_KEY", "TRILITH_ROOT_SECRET_KEY"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)
_RENEWED_BEFORE_S = LIFETIME_S / 2


def find_keys(
    access_key: str | None, secret_key: str | None, environment: Mapping[str, str]
) -> tuple[str, str]:
    """The given pair; else the environment's (TRILITH_ROOT_* before AWS_*); else what
    `trilith serve` keeps in TRILITH_DATA or ./trilith-data. Raises Unauthenticated.
    """
    if access_key is not None or secret_key is not None:
        if not access_key or not secret_key:
            raise Unauthenticated("access_key and secret_key belong together: give both or none")
        return access_key, secret_key
    for access_name, secret_name in _PAIRS:
        if environment.get(access_name) and environment.get(secret_name):
            return environment[access_name], environment[secret_name]
    file = Path(environment.get("TRILITH_DATA", DEFAULT_DATA)) / "credentials.json"
    try:
        kept = json.loads(file.read_text("utf-8"))
        return str(kept["access_key"]), str(kept["secret_key"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Unauthenticated(
            "no access key: give access_key and secret_key, set TRILITH_ROOT_ACCESS_KEY and "
            "TRILITH_ROOT_SECRET_KEY (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or run "
            f"where {file} is"
        ) from None


def channel_credentials(ca_file: str | os.PathLike[str] | None) -> grpc.ChannelCredentials:
    """Whom to trust: the authorities in a PEM file, else gRPC's well-known ones. Raises OSError."""
    roots = None if ca_file is None else Path(ca_file).read_bytes()
    return grpc.ssl_channel_credentials(roots)


class Access:
    """Metadata that every call carries. May be used by several threads."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._lock = threading.Lock()
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._made_s = 0.0

    def metadata(self) -> tuple[tuple[str, str], ...]:
        with self._lock:
            now_s = time.time()
            # Also when the clock was set back: the token would be from the future.
            if not self._metadata or not 0 <= now_s - self._made_s < _RENEWED_BEFORE_S:
                token = issue(self._access_key, self._secret_key, int(now_s))
                self._metadata = (("authorization", f"Bearer {token}"),)
                self._made_s = now_s
            return self._metadata

    def renew(self) -> None:
        """The next call carries a new token."""
        with self._lock:
            self._metadata = ()


def new_request_token() -> bytes:
    """A UUIDv7 (RFC 9562): the engine applies what carries it once, within ten minutes."""
    now_ms = time.time_ns() // 1_000_000
    tail = bytearray(os.urandom(10))
    tail[0] = (tail[0] & 0x0F) | 0x70
    tail[2] = (tail[2] & 0x3F) | 0x80
    return now_ms.to_bytes(6, "big") + bytes(tail)
