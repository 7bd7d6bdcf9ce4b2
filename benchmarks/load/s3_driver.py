"""Drives any S3 endpoint with wrk over presigned URLs: one workload a call.

Signing happens before the run, so the driver costs the machine little: a run measures the server.

    python -m benchmarks.load.s3_driver http://127.0.0.1:9000 BUCKET put 4096 --connections 32

reads the keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and prints one JSON line.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

LUA_SCRIPT = Path(__file__).with_name("s3_requests.lua")
EXPIRES_S = 7200
REGION = "us-east-1"
RESULT = re.compile(r"RESULT" + r" ([\d.]+)" * 9)


class LoadError(Exception):
    """A run that says nothing: wrk failed, or the server refused."""


@dataclass(frozen=True)
class Endpoint:
    """Where to send and with whose keys."""

    url: str
    access_key: str
    secret_key: str

    @property
    def host(self) -> str:
        return urllib.parse.urlparse(self.url).netloc


@dataclass(frozen=True)
class Workload:
    """One kind of request. `keys`: how many different objects; `unique`: no two bodies alike."""

    operation: str  # put | get
    size_bytes: int
    connections: int
    keys: int
    unique: bool = False

    @property
    def name(self) -> str:
        size = self.size_bytes
        text = f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
        return f"{self.operation.upper()} {text} x{self.connections}"


@dataclass(frozen=True)
class Result:
    """What wrk saw. Latencies in milliseconds."""

    requests: int
    requests_per_s: float
    megabytes_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    socket_errors: int


class Presigner:
    """Presigned paths for one endpoint (SigV4 in the query, unsigned payload)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._scope = f"{self._time[:8]}/{REGION}/s3/aws4_request"
        key = b"AWS4" + endpoint.secret_key.encode()
        for part in self._scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        self._key = key

    def path(self, method: str, path: str) -> str:
        parameters = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self._endpoint.access_key}/{self._scope}",
            "X-Amz-Date": self._time,
            "X-Amz-Expires": str(EXPIRES_S),
            "X-Amz-SignedHeaders": "host",
        }
        query = "&".join(
            f"{name}={urllib.parse.quote(value, safe='-_.~')}"
            for name, value in sorted(parameters.items())
        )
        canonical = "\n".join(
            [method, path, query, f"host:{self._endpoint.host}\n", "host", "UNSIGNED-PAYLOAD"]
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256", self._time, self._scope, digest])
        signature = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        return f"{path}?{query}&X-Amz-Signature={signature}"


def create_bucket(endpoint: Endpoint, bucket: str) -> None:
    """Creates the bucket; one that exists is fine."""
    url = endpoint.url + Presigner(endpoint).path("PUT", f"/{bucket}")
    request = urllib.request.Request(url, data=b"", method="PUT")
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise


def write_missing(endpoint: Endpoint, bucket: str, workload: Workload, keys: int) -> None:
    """Writes those of the first `keys` objects that are not there yet.

    A PUT run may be too short for all of them, and wrk skips one where a socket is full.
    """
    presigner, body = Presigner(endpoint), os.urandom(workload.size_bytes)
    connection = http.client.HTTPConnection(endpoint.host, timeout=60)
    for number in range(keys):
        path = _object_path(bucket, workload, number)
        connection.request("HEAD", presigner.path("HEAD", path))
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            continue
        connection.request("PUT", presigner.path("PUT", path), body=body)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise LoadError(f"PUT {path}: {answer.status}")
    connection.close()


def _object_path(bucket: str, workload: Workload, number: int) -> str:
    return f"/{bucket}/o/{workload.size_bytes}/{number:08d}"


def drive(endpoint: Endpoint, bucket: str, workload: Workload, seconds: int) -> Result:
    """Runs the workload for `seconds`. Raises LoadError when wrk fails."""
    presigner, method = Presigner(endpoint), workload.operation.upper()
    with tempfile.TemporaryDirectory() as folder:
        urls, body = Path(folder, "urls"), Path(folder, "body")
        urls.write_text(
            "".join(
                presigner.path(method, _object_path(bucket, workload, number)) + "\n"
                for number in range(workload.keys)
            )
        )
        body.write_bytes(os.urandom(workload.size_bytes) if method == "PUT" else b"")
        done = subprocess.run(
            [
                *("wrk", "-t1", f"-c{workload.connections}", f"-d{seconds}s", "--timeout", "20s"),
                *("-s", str(LUA_SCRIPT), endpoint.url, "--", method, str(urls), str(body)),
                "unique" if workload.unique else "same",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    match = RESULT.search(done.stdout)
    if match is None:
        raise LoadError(f"wrk failed: {done.stdout}{done.stderr}")
    return _result(workload, [float(value) for value in match.groups()])


def _result(workload: Workload, values: list[float]) -> Result:
    requests, duration_us, received, refused, socket_errors = map(int, values[:5])
    rate = requests / (duration_us / 1e6)
    if workload.operation == "get" and received < (requests - refused) * workload.size_bytes:
        raise LoadError(f"{requests} answers of {workload.size_bytes} bytes were {received} bytes")
    return Result(
        requests,
        round(rate, 1),
        round(rate * workload.size_bytes / 1e6, 1),
        *values[5:],
        refused=refused,
        socket_errors=socket_errors,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("bucket")
    parser.add_argument("operation", choices=["put", "get"])
    parser.add_argument("size_bytes", type=int)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--unique-bodies", action="store_true")
    given = parser.parse_args()
    endpoint = Endpoint(
        given.endpoint, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    )
    create_bucket(endpoint, given.bucket)
    workload = Workload(
        given.operation, given.size_bytes, given.connections, given.keys, given.unique_bodies
    )
    print(json.dumps(asdict(drive(endpoint, given.bucket, workload, given.seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
