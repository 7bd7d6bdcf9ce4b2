"""What every bucket has may be put as it is, over HTTP; anything else is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture(scope="module", autouse=True)
def _an_object(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="o", Body=b"x")


def encryption(**by_default: Any) -> dict[str, Any]:
    rule = {"ApplyServerSideEncryptionByDefault": by_default}
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


def ownership(value: str) -> dict[str, Any]:
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": value}]}}


def payer(value: str) -> dict[str, Any]:
    return {"RequestPaymentConfiguration": {"Payer": value}}


def refusal(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    ("operation", "as_it_is", "other"),
    [
        (
            "put_bucket_encryption",
            encryption(SSEAlgorithm="AES256"),
            encryption(SSEAlgorithm="aws:kms"),
        ),
        (
            "put_bucket_encryption",
            encryption(SSEAlgorithm="AES256"),
            encryption(SSEAlgorithm="AES256", KMSMasterKeyID="k"),
        ),
        (
            "put_bucket_ownership_controls",
            ownership("BucketOwnerEnforced"),
            ownership("ObjectWriter"),
        ),
        ("put_bucket_request_payment", payer("BucketOwner"), payer("Requester")),
        (
            "put_bucket_logging",
            {"BucketLoggingStatus": {}},
            {
                "BucketLoggingStatus": {
                    "LoggingEnabled": {"TargetBucket": "bucket", "TargetPrefix": ""}
                }
            },
        ),
        (
            "put_bucket_notification_configuration",
            {"NotificationConfiguration": {}},
            {"NotificationConfiguration": {"EventBridgeConfiguration": {}}},
        ),
    ],
)
def test_only_what_is_so_may_be_put(
    client: Any, operation: str, as_it_is: dict[str, Any], other: dict[str, Any]
) -> None:
    put = getattr(client, operation)
    assert put(Bucket="bucket", **as_it_is)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert refusal(put, Bucket="bucket", **other) == ("NotImplemented", 501)
    assert refusal(put, Bucket="absent", **as_it_is) == ("NoSuchBucket", 404)


def test_an_empty_configuration_is_malformed(client: Any) -> None:
    empty = {"ServerSideEncryptionConfiguration": {"Rules": []}}
    assert refusal(client.put_bucket_encryption, Bucket="bucket", **empty) == ("MalformedXML", 400)
