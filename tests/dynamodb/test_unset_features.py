"""What no table has here is said to be unset, as AWS says it of a table without."""

from __future__ import annotations

from typing import Any

import pytest

from .local_app import LocalApp

TABLE = {
    "TableName": "people",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture(scope="module")
def app() -> LocalApp:
    made = LocalApp()
    made.ok("CreateTable", **TABLE)
    return made


def test_nothing_is_backed_up_continuously(app: LocalApp) -> None:
    table = app.ok("DescribeTable", TableName="people")["Table"]
    for name in ("people", table["TableArn"]):
        described = app.ok("DescribeContinuousBackups", TableName=name)
        assert described["ContinuousBackupsDescription"] == {
            "ContinuousBackupsStatus": "DISABLED",
            "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"},
        }


def test_a_table_tells_no_insights_and_streams_to_nobody(app: LocalApp) -> None:
    insights = app.ok("DescribeContributorInsights", TableName="people", IndexName="by_x")
    assert insights == {
        "TableName": "people",
        "IndexName": "by_x",
        "ContributorInsightsStatus": "DISABLED",
    }
    streaming = app.ok("DescribeKinesisStreamingDestination", TableName="people")
    assert streaming == {"TableName": "people", "KinesisDataStreamDestinations": []}


@pytest.mark.parametrize(
    ("operation", "member"),
    [
        ("ListBackups", "BackupSummaries"),
        ("ListContributorInsights", "ContributorInsightsSummaries"),
        ("ListExports", "ExportSummaries"),
        ("ListGlobalTables", "GlobalTables"),
        ("ListImports", "ImportSummaryList"),
    ],
)
def test_there_is_nothing_to_list(app: LocalApp, operation: str, member: str) -> None:
    assert app.ok(operation) == {member: []}


@pytest.mark.parametrize(
    ("operation", "members", "name", "message"),
    [
        (
            "DescribeContinuousBackups",
            {"TableName": "nobody"},
            "TableNotFoundException",
            "Table not found: nobody",
        ),
        (
            "DescribeGlobalTable",
            {"GlobalTableName": "people"},
            "GlobalTableNotFoundException",
            "Global table with name 'people' does not exist.",
        ),
        (
            "DescribeContributorInsights",
            {"TableName": "nobody"},
            "ResourceNotFoundException",
            "Requested resource not found: Table: nobody not found",
        ),
        (
            "DescribeKinesisStreamingDestination",
            {"TableName": "nobody"},
            "ResourceNotFoundException",
            "Requested resource not found: Table: nobody not found",
        ),
        (
            "ListBackups",
            {"Limit": 0},
            "ValidationException",
            (
                "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: "
                "Member must have value greater than or equal to 1"
            ),
        ),
    ],
)
def test_what_is_not_there_is_refused_as_aws_refuses_it(
    app: LocalApp, operation: str, members: dict[str, Any], name: str, message: str
) -> None:
    refused = app.call(operation, **members).json()
    assert (refused["__type"].split("#")[1], refused["message"]) == (name, message)
