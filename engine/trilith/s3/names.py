"""Syntax of bucket names and keys.

Source: S3 User Guide, "General purpose bucket naming rules" and "Naming Amazon S3 objects".
"""

from __future__ import annotations

from functools import lru_cache

from trilith.s3.errors import S3Error
from trilith.s3.request_head import decode_path

KEY_BYTES_MAX = 1024

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_FORBIDDEN_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_FORBIDDEN_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


@lru_cache(maxsize=4096)
def is_bucket_name(name: str) -> bool:
    """Whether a bucket may have this name."""
    if not 3 <= len(name) <= 63 or not _ALLOWED.issuperset(name):
        return False
    if name[0] in ".-" or name[-1] in ".-" or ".." in name:
        return False
    if name.startswith(_FORBIDDEN_PREFIXES) or name.endswith(_FORBIDDEN_SUFFIXES):
        return False
    labels = name.split(".")
    return not (len(labels) == 4 and all(label.isdigit() for label in labels))


def check_bucket_name(name: str) -> None:
    """Raises InvalidBucketName."""
    if not is_bucket_name(name):
        raise S3Error("InvalidBucketName", elements={"BucketName": name})


def check_key(raw_key: bytes) -> str:
    """The key of a percent-encoded path. Raises InvalidURI or KeyTooLongError."""
    key = decode_path(raw_key)
    # Decoding never lengthens.
    if len(raw_key) > KEY_BYTES_MAX:
        check_key_length(key)
    return key


def check_key_length(key: str) -> None:
    """Raises KeyTooLongError."""
    size = len(key.encode())
    if size > KEY_BYTES_MAX:
        raise S3Error("KeyTooLongError", elements={"Size": size, "MaxSizeAllowed": KEY_BYTES_MAX})
