"""Unmodified client programs store a real tree and get it back to the byte."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from boto3.s3.transfer import TransferConfig

from .conftest import Server
from .programs import need, run
from .trees import MIB, digest_of_file, digests, write_pattern

LARGE_BYTES = 1 << 30


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory for large files that does not outlive the test."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def environment(server: Server, place: Path) -> Mapping[str, str]:
    """Client programs see this server's credentials and a home of their own."""
    return {**server.environment(), "HOME": str(place)}


@pytest.mark.load
def test_aws_s3_sync_there_and_back_is_byte_identical(
    server: Server, bucket: str, python_tree: Path, place: Path, environment: Mapping[str, str]
) -> None:
    aws = need("aws", "awscli")
    # pyenv's shims need the real home
    environment = {**environment, "HOME": server.environment().get("HOME", str(place))}
    base = [aws, "--endpoint-url", server.endpoint, "s3", "sync", "--only-show-errors"]
    run(*base, python_tree, f"s3://{bucket}/lib", environment=environment)
    run(*base, f"s3://{bucket}/lib", place / "back", environment=environment)
    assert digests(place / "back") == digests(python_tree)
    again = run(*base[:-1], python_tree, f"s3://{bucket}/lib", environment=environment)
    assert "upload:" not in again


RCLONE = {
    "RCLONE_CONFIG_T_TYPE": "s3",
    "RCLONE_CONFIG_T_PROVIDER": "Other",
    "RCLONE_CONFIG_T_ENV_AUTH": "true",
    "RCLONE_CONFIG_T_FORCE_PATH_STYLE": "true",
}


@pytest.mark.load
def test_rclone_sync_there_and_back_is_byte_identical(
    server: Server, bucket: str, python_tree: Path, place: Path, environment: Mapping[str, str]
) -> None:
    rclone = need("rclone")
    settings = {**environment, **RCLONE, "RCLONE_CONFIG_T_ENDPOINT": server.endpoint}
    remote = f"t:{bucket}/lib"
    base = [rclone, "--config", "/dev/null", "--transfers", "8"]
    run(*base, "sync", python_tree, remote, environment=settings)
    run(*base, "check", python_tree, remote, environment=settings)
    run(*base, "sync", remote, place / "back", environment=settings)
    assert digests(place / "back") == digests(python_tree)
    (place / "back" / "os.py").write_text("changed")
    (place / "back" / "ast.py").unlink()
    run(*base, "sync", place / "back", remote, environment=settings)
    run(*base, "check", place / "back", remote, environment=settings)


@pytest.mark.load
def test_aws_s3_cp_moves_a_1_gib_file_by_multipart(
    server: Server, s3: Any, bucket: str, place: Path, environment: Mapping[str, str]
) -> None:
    aws = need("aws", "awscli")
    environment = {**environment, "HOME": server.environment().get("HOME", str(place))}
    there, back = place / "there", place / "back"
    digest = write_pattern(there, LARGE_BYTES, seed=30)
    base = [aws, "--endpoint-url", server.endpoint, "s3", "cp", "--only-show-errors"]
    run(*base, there, f"s3://{bucket}/large", environment=environment)
    there.unlink()
    head = s3.head_object(Bucket=bucket, Key="large")
    assert head["ContentLength"] == LARGE_BYTES
    assert "-" in head["ETag"]
    run(*base, f"s3://{bucket}/large", back, environment=environment)
    assert digest_of_file(back) == digest


@pytest.mark.load
def test_restic_backs_up_checks_and_restores(
    server: Server, bucket: str, python_tree: Path, place: Path, environment: Mapping[str, str]
) -> None:
    restic = need("restic")
    settings = {
        **environment,
        "RESTIC_REPOSITORY": f"s3:{server.endpoint}/{bucket}/restic",
        "RESTIC_PASSWORD": "conformance",
        "RESTIC_CACHE_DIR": str(place / "cache"),
    }
    run(restic, "init", environment=settings)
    run(restic, "backup", python_tree, environment=settings)
    run(restic, "backup", python_tree, environment=settings)
    run(restic, "check", "--read-data", environment=settings)
    run(restic, "restore", "latest", "--target", place / "back", environment=settings)
    restored = place / "back" / python_tree.relative_to("/")
    assert digests(restored) == digests(python_tree)
    run(restic, "forget", "--keep-last", "1", "--prune", environment=settings)
    run(restic, "check", environment=settings)


def test_boto3_s_transfer_manager_uploads_and_downloads_in_parallel(
    s3: Any, bucket: str, place: Path
) -> None:
    config = TransferConfig(
        multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=6
    )
    for size in (MIB, 100 * MIB + 1):
        there, back = place / "there", place / "back"
        digest = write_pattern(there, size, seed=size)
        s3.upload_file(str(there), bucket, "o", Config=config, ExtraArgs={"Metadata": {"k": "v"}})
        s3.download_file(bucket, "o", str(back), Config=config)
        assert digest_of_file(back) == digest
        assert s3.head_object(Bucket=bucket, Key="o")["Metadata"] == {"k": "v"}
    s3.copy({"Bucket": bucket, "Key": "o"}, bucket, "copy", Config=config)
    s3.download_file(bucket, "copy", str(back), Config=config)
    assert digest_of_file(back) == digest


def test_s3cmd_puts_lists_gets_and_deletes(
    server: Server, bucket: str, python_tree: Path, place: Path, environment: Mapping[str, str]
) -> None:
    beside = Path(sys.executable).parent / "s3cmd"
    s3cmd = str(beside) if beside.exists() else need("s3cmd")
    host = server.endpoint.removeprefix("http://")
    base = [s3cmd, "--config", place / "no.cfg", "--no-ssl", "--no-progress"]
    base += [f"--host={host}", f"--host-bucket={host}"]
    (place / "no.cfg").write_text(
        f"[default]\naccess_key = {server.credentials.access_key}\n"
        f"secret_key = {server.credentials.secret_key}\n"
    )
    source = python_tree / "json"
    run(*base, "sync", f"{source}/", f"s3://{bucket}/json/", environment=environment)
    listing = run(*base, "ls", "--recursive", f"s3://{bucket}/json/", environment=environment)
    assert len(listing.splitlines()) == len(digests(source))
    (place / "back").mkdir()
    run(*base, "sync", f"s3://{bucket}/json/", f"{place}/back/", environment=environment)
    assert digests(place / "back") == digests(source)
    large = place / "large"
    digest = write_pattern(large, 33 * MIB, seed=33)
    run(*base, "put", large, f"s3://{bucket}/large", environment=environment)
    run(*base, "get", f"s3://{bucket}/large", place / "large.back", environment=environment)
    assert digest_of_file(place / "large.back") == digest
    run(*base, "del", "--recursive", "--force", f"s3://{bucket}/json/", environment=environment)
    assert not run(*base, "ls", f"s3://{bucket}/json/", environment=environment).strip()


def fetched(url: str) -> bytes:
    with urlopen(url.strip()) as answer:
        return bytes(answer.read())


def test_urls_that_programs_sign_are_good(
    server: Server, s3: Any, bucket: str, place: Path, environment: Mapping[str, str]
) -> None:
    """`aws s3 presign` and `s3cmd signurl` sign with Signature Version 2 by default."""
    s3.put_object(Bucket=bucket, Key="a b", Body=b"shared")
    aws = need("aws", "awscli")
    # pyenv's shims need the real home
    real = {**environment, "HOME": server.environment().get("HOME", str(place))}
    signed = run(
        *[aws, "--endpoint-url", server.endpoint, "s3", "presign", f"s3://{bucket}/a b"],
        environment=real,
    )
    assert fetched(signed) == b"shared"
    host = urlsplit(server.endpoint).netloc
    (place / "s3cfg").write_text(f"[default]\nhost_base = {host}\nhost_bucket = {host}\n")
    base = [need("s3cmd"), "--config", place / "s3cfg", "--no-ssl"]
    signed = run(*base, "signurl", f"s3://{bucket}/a b", "+600", environment=environment)
    assert fetched(signed) == b"shared"
