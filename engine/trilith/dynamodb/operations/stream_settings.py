"""StreamSpecification: what CreateTable and UpdateTable do with it, and how it is described."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import validation
from trilith.tables.definitions import Stream, TableRecord, ended

_INVALID = "One or more parameter values were invalid: "
_KEPT_MAX = 100  # ended streams in a table's record; older ones are forgotten early


def first_streams(
    document: dict[str, Any], now_ms: int, before: tuple[Stream, ...] = ()
) -> tuple[Stream, ...]:
    """The streams of a new table; `before`: those of deleted ones of its name."""
    given = document.get("StreamSpecification")
    if given is None:
        return ()
    view = given.get("StreamViewType")
    if given["StreamEnabled"]:
        if view is None:
            raise validation(
                f"{_INVALID}Table is being created with a stream enabled, UpdateViewType is "
                "required"
            )
        return (_stream(view, now_ms, before),)
    if view is not None:
        raise validation(
            f"{_INVALID}Table is being created with a stream disabled, UpdateViewType should not "
            "be specified"
        )
    return ()


def changed_streams(
    document: dict[str, Any], record: TableRecord, now_ms: int, retention_ms: int
) -> tuple[Stream, ...]:
    """The streams of a table after an UpdateTable. Those that are no longer kept are left out."""
    given = document.get("StreamSpecification")
    if given is None:
        return record.streams
    view, running = given.get("StreamViewType"), record.stream()
    if given["StreamEnabled"]:
        if view is None:
            raise validation(
                f"{_INVALID}If stream is being enabled then UpdateViewType is required"
            )
        if running is not None:
            raise validation(f"Table already has an enabled stream: TableName: {record.name}")
        kept = [one for one in record.streams if one.ended_ms > now_ms - retention_ms]
        last = record.streams[-1:]
        return (*kept[-_KEPT_MAX:], _stream(view, now_ms, last))
    if view is not None:
        raise validation(
            f"{_INVALID}If stream is being disabled, then UpdateViewType must not be specified"
        )
    if running is None:
        raise validation(f"Table has no stream to disable: TableName: {record.name}")
    return ended(record.streams, now_ms)


def _stream(view: str, now_ms: int, before: tuple[Stream, ...]) -> Stream:
    created_ms = max([now_ms, *(one.ended_ms + 1 for one in before)])
    at = datetime.fromtimestamp(created_ms / 1000, UTC)
    label = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{created_ms % 1000:03d}"
    return Stream(label, view, created_ms)


def described(context: Context, record: TableRecord) -> dict[str, Any]:
    """What a table's description says of its streams: of an ended one still the name."""
    if not record.streams:
        return {}
    latest = record.streams[-1]
    members: dict[str, Any] = {
        "LatestStreamLabel": latest.label,
        "LatestStreamArn": stream_arn(context, record.name, latest),
    }
    if not latest.ended_ms:
        members["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": latest.view}
    return members


def stream_arn(context: Context, table_name: str, stream: Stream) -> str:
    return f"{context.arn(table_name)}/stream/{stream.label}"
