"""From method, host, path and query to an operation's name, a bucket and a key.

Nothing is guessed: a subresource or parameter that we do not know is refused by name when ignoring
it could turn the request into another one (`PUT /b/k?new-feature` is not a PutObject).
"""

from __future__ import annotations

from trilith.s3 import operations
from trilith.s3.errors import S3Error, invalid_argument
from trilith.s3.names import check_bucket_name, check_key
from trilith.s3.request_head import Pairs, RequestHead, decode_path

_HOST_CACHE_MAX = 1024


class Route:
    """`bucket` and `key` are "" where the request names none."""

    __slots__ = ("bucket", "key", "operation")

    def __init__(self, operation: str, bucket: str, key: str) -> None:
        self.operation = operation
        self.bucket = bucket
        self.key = key


class Router:
    """`domains`: base domains under which `BUCKET.DOMAIN` addresses a bucket."""

    def __init__(self, domains: tuple[str, ...]) -> None:
        # The longest first: b.s3.localhost is bucket b of s3.localhost.
        self._suffixes = sorted(("." + one.lower() for one in domains), key=len, reverse=True)
        self._domains = frozenset(one.lower() for one in domains)
        self._bucket_of_host: dict[bytes, str] = {}

    def route(self, head: RequestHead) -> Route:
        """Raises S3Error: InvalidURI, InvalidBucketName, KeyTooLongError, NotImplemented, ..."""
        bucket, key = self.names_of(head)
        return Route(operation_of(head, bucket, key), bucket, key)

    def names_of(self, head: RequestHead) -> tuple[str, str]:
        """The bucket and the key, valid and decoded."""
        bucket = self.host_bucket(head)
        path = head.raw_path
        if bucket:
            raw_key = path[1:]
        else:
            raw_bucket, _, raw_key = path[1:].partition(b"/")
            if not raw_bucket:
                if raw_key:
                    raise S3Error("InvalidURI")
                return "", ""
            bucket = decode_path(raw_bucket)
        if bucket != "WriteGetObjectResponse" or head.method != "POST":
            check_bucket_name(bucket)
        return bucket, check_key(raw_key) if raw_key else ""

    def host_bucket(self, head: RequestHead) -> str:
        """The bucket that the Host header names, "" for none."""
        host = head.header_map.get(b"host", b"")
        bucket = self._bucket_of_host.get(host)
        return self._bucket_in(host) if bucket is None else bucket

    def _bucket_in(self, host: bytes) -> str:
        name = host.decode("latin-1").lower()
        if not name.endswith("]"):
            front, colon, port = name.rpartition(":")
            name = front if colon and port.isdigit() else name
        bucket = ""
        if name not in self._domains:
            for suffix in self._suffixes:
                if name.endswith(suffix) and len(name) > len(suffix):
                    bucket = name[: -len(suffix)]
                    break
        if len(self._bucket_of_host) >= _HOST_CACHE_MAX:
            self._bucket_of_host.clear()
        self._bucket_of_host[host] = bucket
        return bucket


def operation_of(head: RequestHead, bucket: str, key: str) -> str:
    """The operation's name in S3's service model, or of operations.OF_BROWSERS.

    Raises S3Error.
    """
    method = head.method
    if method == "OPTIONS" and bucket:
        return "Preflight"
    if key:
        plain, subresources = operations.PLAIN_OBJECT, operations.OBJECT
    elif bucket:
        plain, subresources = operations.PLAIN_BUCKET, operations.BUCKET
    else:
        plain, subresources = operations.PLAIN_SERVICE, _SERVICE_SUBRESOURCES
    operation = ""
    pairs = head.query.pairs
    if pairs:
        operation = _by_subresource(method, pairs, subresources)
    if not operation:
        if bucket == "WriteGetObjectResponse":
            return "WriteGetObjectResponse"
        operation = plain.get(method, "")
        if not operation:
            raise _method_refused(method)
    if method == "PUT" and b"x-amz-copy-source" in head.header_map:
        return operations.COPYING.get(operation, operation)
    return operation


_SERVICE_SUBRESOURCES = {"max-directory-buckets": operations.BUCKET["max-directory-buckets"]}


def _by_subresource(method: str, pairs: Pairs, subresources: operations.Subresources) -> str:
    found = ""
    for name, value in pairs:
        if name.startswith("X-Amz-"):
            continue
        methods = subresources.get(name)
        if methods is not None:
            if found:
                raise invalid_argument(
                    "Conflicting query string parameters", "ResourceType", f"{found}, {name}"
                )
            found = name
        elif not _selects_nothing(method, name, value):
            raise S3Error("NotImplemented", f"The query parameter {name!r} is not implemented")
    if not found:
        return ""
    operation = subresources[found].get(method)
    if operation is None:
        raise _method_refused(method)
    if operation == "ListObjectsV2" and dict(pairs)["list-type"] != "2":
        return "ListObjects"
    narrower = operations.ONE_BY_PARAMETER.get(operation)
    if narrower is not None and any(name == narrower[0] for name, _ in pairs):
        return narrower[1]
    return operation


def _selects_nothing(method: str, name: str, value: str) -> bool:
    if name in operations.PARAMETERS or name.startswith("response-"):
        return True
    if name[:6].lower() == "x-amz-":
        return True
    # AWS ignores unknown parameters; for reads with a value that is harmless (cache busters).
    return method in ("GET", "HEAD") and value != ""


def _method_refused(method: str) -> S3Error:
    return S3Error("MethodNotAllowed", elements={"Method": method})
