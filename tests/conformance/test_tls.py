"""TLS on every public port, and gRPC's standard health service through it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import grpc
import pytest
from botocore.config import Config
from cryptography import x509

import trilith
from trilith import errors
from trilith.client import Client
from trilith.wire.v1 import health_pb2

from .certificates import Authority
from .cluster import Cluster, run_trilith, trilith_program
from .processes import wait_until

MIB = 1 << 20


@dataclass
class World:
    """A cluster that speaks TLS, and who vouches for it."""

    cluster: Cluster
    authority: Authority
    certificate_file: Path
    key_file: Path

    def issue(self) -> int:
        return self.authority.issue(self.certificate_file, self.key_file)

    def aws(self, service: str) -> Any:
        credentials = self.cluster.credentials
        return boto3.client(
            service,
            endpoint_url=f"https://127.0.0.1:{self.cluster.ports[service]}",
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            region_name=credentials.region,
            verify=str(self.authority.ca_file),
            config=Config(retries={"total_max_attempts": 1}),
        )

    def connected(self, **options: Any) -> Client:
        credentials = self.cluster.credentials
        return trilith.connect(
            f"127.0.0.1:{self.cluster.ports['grpc']}",
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            **options,
        )

    def serial_number(self, port: int, protocols: list[str]) -> int:
        """Of the certificate that a port shows."""
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        context.set_alpn_protocols(protocols)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            raw = connection.getpeercert(binary_form=True)
        assert raw is not None
        return x509.load_der_x509_certificate(raw).serial_number


@pytest.fixture(scope="module")
def world(
    start_cluster: Callable[..., Cluster], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("certificates")
    authority = Authority(directory)
    files = directory / "server.pem", directory / "server.key"
    authority.issue(*files)
    cluster = start_cluster(
        environment={
            "TRILITH_SERVER__TLS_CERTIFICATE_FILE": str(files[0]),
            "TRILITH_SERVER__TLS_KEY_FILE": str(files[1]),
        },
        ca_file=authority.ca_file,
    )
    yield World(cluster, authority, *files)
    cluster.remove()


def test_aws_clients_speak_tls(world: World) -> None:
    s3, dynamodb = world.aws("s3"), world.aws("dynamodb")
    s3.create_bucket(Bucket="secure")
    body = os.urandom(9 * MIB)
    s3.put_object(Bucket="secure", Key="large", Body=body)
    assert s3.get_object(Bucket="secure", Key="large")["Body"].read() == body
    upload = s3.create_multipart_upload(Bucket="secure", Key="parts")["UploadId"]
    part = s3.upload_part(Bucket="secure", Key="parts", UploadId=upload, PartNumber=1, Body=b"x")[
        "ETag"
    ]
    done = s3.complete_multipart_upload(
        Bucket="secure",
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]},
    )
    assert done["Location"].startswith("https://")
    assert dynamodb.list_tables()["TableNames"] is not None
    with pytest.raises(s3.exceptions.ClientError):  # the end of a connection that was refused
        s3.put_object(Bucket="nobody-has-this", Key="k", Body=body)


def test_the_sdk_speaks_tls_and_knows_whom_it_trusts(world: World) -> None:
    with world.connected(ca_file=world.authority.ca_file) as db:
        bucket = db.create_bucket(f"sdk-{secrets.token_hex(6)}")
        body = os.urandom(3 * MIB)
        bucket.put("k", body)
        with bucket.get("k") as reader:
            assert reader.read() == body
        assert len(db.status().nodes) == 3
    with (
        world.connected(tls=True) as stranger,
        pytest.raises(errors.Unauthenticated, match="trust"),
    ):
        list(stranger.tables())
    with world.connected(timeout_s=1) as plain, pytest.raises(errors.TrilithError):
        list(plain.tables())

    async def scenario() -> None:
        credentials = world.cluster.credentials
        async with await trilith.connect_async(
            f"localhost:{world.cluster.ports['grpc']}",
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            ca_file=world.authority.ca_file,
        ) as db:
            assert len((await db.status()).nodes) == 3

    asyncio.run(scenario())


def test_our_own_commands_find_the_cluster(world: World) -> None:
    data = str(world.cluster.data_dir)
    assert json.loads(run_trilith("status", "--json", "--data", data))["answered"] is True
    environment = {
        **os.environ,
        "TRILITH_SERVER__TLS_CERTIFICATE_FILE": str(world.certificate_file),
        "TRILITH_SERVER__TLS_KEY_FILE": str(world.key_file),
        "TRILITH_SERVER__CONSOLE_PORT": str(world.cluster.ports["console"]),
    }
    done = subprocess.run(
        [trilith_program(), "health", "--quiet"], env=environment, check=False, timeout=60
    )
    assert done.returncode == 0
    assert "https://127.0.0.1" in world.cluster.log_path.read_text()


def test_a_renewed_certificate_is_shown_without_a_restart(world: World) -> None:
    ports = {name: world.cluster.ports[name] for name in ("s3", "console", "grpc")}
    renewed = world.issue()
    for name, port in ports.items():
        protocols = ["h2"] if name == "grpc" else ["http/1.1"]

        def shows_it(port: int = port, protocols: list[str] = protocols) -> bool:
            return all(world.serial_number(port, protocols) == renewed for _ in range(5))

        wait_until(shows_it, deadline_s=30, what=f"{name} shows the renewed certificate")
    good = world.certificate_file.read_bytes()
    world.certificate_file.write_bytes(b"no certificate")
    try:
        assert world.serial_number(ports["s3"], ["http/1.1"]) == renewed
        assert world.serial_number(ports["grpc"], ["h2"]) == renewed
    finally:
        world.certificate_file.write_bytes(good)


def test_half_a_configuration_and_a_bad_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.write_text("")
    for options, said in [
        (["--tls-certificate", str(file)], "belong together"),
        (["--tls-certificate", str(file), "--tls-key", str(file)], "cannot be used for TLS"),
        (["--tls-certificate", "nothing.pem", "--tls-key", "nothing.key"], "does not exist"),
    ]:
        done = subprocess.run(
            [trilith_program(), "serve", "--data", str(tmp_path / "data"), *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode != 0
        assert said in done.stderr
    assert not (tmp_path / "data").exists()


# --- health --------------------------------------------------------------------------------------


def _check(channel: grpc.Channel, service: str) -> int:
    ask = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    answer = ask(health_pb2.HealthCheckRequest(service=service), timeout=60)
    return int(answer.status)


def test_the_health_service_answers_whoever_asks(world: World) -> None:
    trust = grpc.ssl_channel_credentials(world.authority.ca_file.read_bytes())
    address = f"127.0.0.1:{world.cluster.ports['grpc']}"
    with grpc.secure_channel(address, trust) as channel:
        for service in ("", "trilith.wire.v1.Objects", "trilith.wire.v1.Streams"):
            assert _check(channel, service) == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as raised:
            _check(channel, "trilith.wire.v1.Nothing")
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
