"""What `trilith serve` prints when it is ready: endpoints, credentials, commands to paste."""

from __future__ import annotations

import shlex
from pathlib import Path

from trilith import __version__
from trilith.node_options import Credentials

_DEFAULT_DATA = "trilith-data"


def welcome(
    *,
    s3_url: str,
    dynamodb_url: str,
    console_url: str,
    grpc_addresses: list[str],
    region: str,
    data: Path,
    generated: Credentials | None,
    from_environment: bool,
    notes: list[str],
) -> str:
    """`generated`: credentials that were made just now; their secret is printed this once."""
    lines = [
        f"Trilith {__version__} is ready: three zones, every write is synced in each of them.",
        "",
        f"  S3        {s3_url}",
        f"  DynamoDB  {dynamodb_url}",
        f"  Console   {console_url}  (/readyz, /metrics)",
        f"  gRPC      {', '.join(grpc_addresses)}  (Python: trilith.connect)",
        f"  Data      {data}",
        f"  Root key  {_where(data, generated, from_environment)}",
        *(f"  Note      {note}" for note in notes),
        "",
        "First steps, in another terminal:",
        "",
        f"  {_export(data, generated, region, from_environment)}",
        f"  aws --endpoint-url {s3_url} s3 mb s3://first",
        f"  echo hello | aws --endpoint-url {s3_url} s3 cp - s3://first/hello.txt",
        f"  aws --endpoint-url {s3_url} s3 ls s3://first",
        f"  aws --endpoint-url {dynamodb_url} dynamodb list-tables",
        "",
        f"`trilith status{data_option(data)}` shows the zones; Ctrl-C stops them.",
    ]
    return "\n".join(lines)


def data_option(data: Path) -> str:
    """How a command names this data directory; empty where it is the default one."""
    if data == Path.cwd() / _DEFAULT_DATA:
        return ""
    return f" --data {shlex.quote(str(data))}"


def _where(data: Path, generated: Credentials | None, from_environment: bool) -> str:
    if from_environment:
        return "from TRILITH_ROOT_ACCESS_KEY and TRILITH_ROOT_SECRET_KEY"
    kept = data / "credentials.json"
    if generated is None:
        return f"kept in {kept}"
    return (
        f"{generated.access_key} / {generated.secret_key}\n"
        f"            (shown this once; kept in {kept})"
    )


def _export(data: Path, generated: Credentials | None, region: str, from_environment: bool) -> str:
    if from_environment:
        return (
            'export AWS_ACCESS_KEY_ID="$TRILITH_ROOT_ACCESS_KEY" '
            'AWS_SECRET_ACCESS_KEY="$TRILITH_ROOT_SECRET_KEY" '
            f"AWS_DEFAULT_REGION={region}"
        )
    if generated is None:
        return f'eval "$(trilith credentials --export{data_option(data)})"'
    return (
        f"export AWS_ACCESS_KEY_ID={generated.access_key} "
        f"AWS_SECRET_ACCESS_KEY={generated.secret_key} AWS_DEFAULT_REGION={region}"
    )
