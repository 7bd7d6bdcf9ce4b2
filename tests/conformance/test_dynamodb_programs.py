"""Programs that speak DynamoDB, unmodified: the AWS CLI and the JavaScript SDK."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .cluster import Cluster
from .programs import need, run

MODULES = Path(__file__).parents[2] / "build/clients"


def environment(cluster: Cluster) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": cluster.credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": cluster.credentials.secret_key,
        "AWS_DEFAULT_REGION": cluster.credentials.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


class CommandLine:
    """`aws dynamodb ...` with JSON in and out."""

    def __init__(self, cluster: Cluster) -> None:
        self._aws = need("aws", "awscli")
        self._endpoint = f"http://127.0.0.1:{cluster.ports['dynamodb']}"
        self._environment = environment(cluster)

    def __call__(self, operation: str, *words: str, **members: Any) -> Any:
        options = [
            option
            for name, value in members.items()
            for option in (
                "--" + name.replace("_", "-"),
                value if isinstance(value, str) else json.dumps(value),
            )
        ]
        arguments = [self._aws, "--endpoint-url", self._endpoint, "dynamodb", operation]
        arguments += [*words, *options, "--output", "json"]
        out = run(*arguments, environment=self._environment)
        return json.loads(out) if out.strip() else None


@pytest.fixture
def aws(cluster: Cluster) -> CommandLine:
    return CommandLine(cluster)


@pytest.fixture
def table_name(aws: CommandLine) -> Iterator[str]:
    name = f"cli-{secrets.token_hex(4)}"
    aws(
        "create-table",
        table_name=name,
        attribute_definitions=[
            {"AttributeName": "Artist", "AttributeType": "S"},
            {"AttributeName": "SongTitle", "AttributeType": "S"},
            {"AttributeName": "Album", "AttributeType": "S"},
        ],
        key_schema=[
            {"AttributeName": "Artist", "KeyType": "HASH"},
            {"AttributeName": "SongTitle", "KeyType": "RANGE"},
        ],
        global_secondary_indexes=[
            {
                "IndexName": "by_album",
                "KeySchema": [{"AttributeName": "Album", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 50, "WriteCapacityUnits": 50},
            }
        ],
        provisioned_throughput={"ReadCapacityUnits": 50, "WriteCapacityUnits": 50},
    )
    aws("wait", "table-exists", table_name=name)
    yield name
    aws("delete-table", table_name=name)
    aws("wait", "table-not-exists", table_name=name)


def song(artist: str, title: str, album: str, awards: int) -> dict[str, Any]:
    return {
        "Artist": {"S": artist},
        "SongTitle": {"S": title},
        "Album": {"S": album},
        "Awards": {"N": str(awards)},
    }


def test_the_tutorial_of_the_developer_guide_works(aws: CommandLine, table_name: str) -> None:
    """The steps of AWS's "Getting started with DynamoDB", as it has them."""
    songs = [
        song("No One You Know", "Call Me Today", "Somewhat Famous", 1),
        song("No One You Know", "Howdy", "Somewhat Famous", 2),
        song("Acme Band", "Happy Day", "Songs About Life", 10),
        song("Acme Band", "PartiQL Rocks", "Another Album Title", 8),
    ]
    for one in songs:
        aws("put-item", table_name=table_name, item=one)
    key = {"Artist": {"S": "Acme Band"}, "SongTitle": {"S": "Happy Day"}}
    got = aws("get-item", "--consistent-read", table_name=table_name, key=key)
    assert got["Item"] == songs[2]
    updated = aws(
        "update-item",
        table_name=table_name,
        key=key,
        update_expression="SET Album = :album",
        expression_attribute_values={":album": {"S": "Updated Album Title"}},
        return_values="ALL_NEW",
    )
    assert updated["Attributes"]["Album"] == {"S": "Updated Album Title"}
    found = aws(
        "query",
        "--consistent-read",
        table_name=table_name,
        key_condition_expression="Artist = :name",
        expression_attribute_values={":name": {"S": "Acme Band"}},
    )
    assert [item["SongTitle"]["S"] for item in found["Items"]] == ["Happy Day", "PartiQL Rocks"]
    in_album: list[str] = []
    for _ in range(30):
        answer = aws(
            "query",
            table_name=table_name,
            index_name="by_album",
            key_condition_expression="Album = :a",
            expression_attribute_values={":a": {"S": "Somewhat Famous"}},
        )
        in_album = sorted(item["SongTitle"]["S"] for item in answer["Items"])
        if len(in_album) == 2:
            break
    assert in_album == ["Call Me Today", "Howdy"]
    scanned = aws("scan", table_name=table_name, page_size="1")
    assert scanned["Count"] == 4


def test_batches_transactions_and_settings(aws: CommandLine, table_name: str) -> None:
    puts = [{"PutRequest": {"Item": song("b", f"t{n}", "x", n)}} for n in range(5)]
    assert aws("batch-write-item", request_items={table_name: puts})["UnprocessedItems"] == {}
    aws(
        "transact-write-items",
        transact_items=[
            {"Put": {"TableName": table_name, "Item": song("t", "1", "x", 1)}},
            {
                "Delete": {
                    "TableName": table_name,
                    "Key": {"Artist": {"S": "b"}, "SongTitle": {"S": "t0"}},
                    "ConditionExpression": "Awards = :zero",
                    "ExpressionAttributeValues": {":zero": {"N": "0"}},
                }
            },
        ],
    )
    keys = [{"Artist": {"S": "b"}, "SongTitle": {"S": f"t{n}"}} for n in range(5)]
    got = aws("batch-get-item", request_items={table_name: {"Keys": keys, "ConsistentRead": True}})
    assert len(got["Responses"][table_name]) == 4
    described = aws("describe-table", table_name=table_name)["Table"]
    assert described["ItemCount"] == 5
    aws(
        "update-table",
        table_name=table_name,
        provisioned_throughput={"ReadCapacityUnits": 60, "WriteCapacityUnits": 60},
    )
    aws("tag-resource", resource_arn=described["TableArn"], tags=[{"Key": "team", "Value": "a"}])
    tags = aws("list-tags-of-resource", resource_arn=described["TableArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "a"}]
    assert table_name in aws("list-tables")["TableNames"]


def test_the_javascript_document_client_works(cluster: Cluster) -> None:
    node = need("node", "nodejs")
    if not (MODULES / "node_modules/@aws-sdk/lib-dynamodb").exists():
        pytest.skip("the JavaScript SDK is not installed: tools/set_up.sh clients")
    out = run(
        node,
        Path(__file__).with_name("document_client.mjs"),
        f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        cluster.credentials.region,
        MODULES,
        environment=environment(cluster),
        deadline_s=120.0,
    )
    assert out.strip() == "all as on AWS"
