"""boto3 as it comes, which sends again what got no answer, while zones die: all counts once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

from .cluster import ZONES, Cluster
from .processes import wait_until

WRITERS = 6


def counters(cluster: Cluster) -> Any:
    return boto3.session.Session().client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        aws_access_key_id=cluster.credentials.access_key,
        aws_secret_access_key=cluster.credentials.secret_key,
        region_name=cluster.credentials.region,
        # Enough of them for a takeover on a slow machine.
        config=Config(retries={"mode": "standard", "total_max_attempts": 12}),
    )


def test_what_boto3_sends_again_when_a_zone_dies_counts_once(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster()
    dynamodb = counters(cluster)
    dynamodb.create_table(
        TableName="counters",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    acknowledged = [0] * WRITERS
    stop = threading.Event()

    def count(writer: int) -> None:
        own = counters(cluster)
        while not stop.is_set():
            answer = own.update_item(
                TableName="counters",
                Key={"id": {"S": f"writer {writer}"}},
                UpdateExpression="ADD hits :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="UPDATED_NEW",
            )
            acknowledged[writer] += 1
            assert int(answer["Attributes"]["hits"]["N"]) == acknowledged[writer]

    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(count, writer) for writer in range(WRITERS)]
        try:
            for zone in ZONES:
                reached = sum(acknowledged) + 30 * WRITERS
                wait_until(
                    lambda reached=reached: sum(acknowledged) >= reached,
                    deadline_s=60,
                    what="the counters grow",
                )
                cluster.zone("kill", zone)
                cluster.zone("start", zone)
                cluster.wait_in_sync(deadline_s=60)
        finally:
            stop.set()
    for writer in writing:
        writer.result()
    for writer, hits in enumerate(acknowledged):
        item = dynamodb.get_item(
            TableName="counters", Key={"id": {"S": f"writer {writer}"}}, ConsistentRead=True
        )["Item"]
        assert int(item["hits"]["N"]) == hits
    cluster.remove()
