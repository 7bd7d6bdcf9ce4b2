"""Requests of the Tables service about tables themselves, for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from trilith.client import types
from trilith.client.rpc import Call, Rpc, rpc_of
from trilith.wire.v1 import tables_pb2 as wire

Key = tuple[str, str]
Units = tuple[int, int]
ON_DEMAND: Final = (0, 0)


class Unchanged(Enum):
    """The value of an argument that was not given, where None says something."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


def _rpc(name: str) -> Rpc:
    return rpc_of(wire.DESCRIPTOR, "Tables", name)


_CREATE = _rpc("CreateTable")
_DESCRIBE = _rpc("DescribeTable")
_LIST = _rpc("ListTables")
_DROP = _rpc("DeleteTable")
_UPDATE = _rpc("UpdateTable")
_DESCRIBE_TTL = _rpc("DescribeTimeToLive")
_UPDATE_TTL = _rpc("UpdateTimeToLive")
_LIST_TAGS = _rpc("ListTags")
_TAG = _rpc("TagTable")
_UNTAG = _rpc("UntagTable")


def create_table(
    name: str,
    partition_key: Key,
    sort_key: Key | None,
    *,
    local_indexes: Iterable[types.Index],
    global_indexes: Iterable[types.Index],
    throughput: Units | None,
    tags: Mapping[str, str] | None,
    deletion_protection: bool,
    stream: str | None,
) -> Call[types.TableInfo]:
    request = wire.CreateTableRequest(
        name=name,
        partition_key=types.key_message(partition_key),
        sort_key=None if sort_key is None else types.key_message(sort_key),
        local_indexes=[_index(one) for one in local_indexes],
        global_indexes=[_index(one) for one in global_indexes],
        throughput=_units(throughput or ON_DEMAND),
        tags=tags or {},
        deletion_protection=deletion_protection,
        stream=_view(stream),
    )
    return Call(_CREATE, request, types.table_info, repeatable=False)


def _index(index: types.Index) -> wire.Index:
    if index.projection not in types.PROJECTIONS:
        raise ValueError(f"a projection is one of {', '.join(types.PROJECTIONS)}")
    partition, sort = index.partition_key, index.sort_key
    return wire.Index(
        name=index.name,
        partition_key=None if partition is None else types.key_message(partition),
        sort_key=None if sort is None else types.key_message(sort),
        projection=types.PROJECTIONS[index.projection],
        included=index.included,
        throughput=None if index.throughput is None else _units(index.throughput),
        more_partition_keys=[types.key_message(key) for key in index.more_partition],
        more_sort_keys=[types.key_message(key) for key in index.more_sort],
    )


def _units(throughput: Units) -> wire.Throughput:
    read_units, write_units = throughput
    return wire.Throughput(read_units=read_units, write_units=write_units)


def _view(stream: str | None) -> wire.StreamView:
    if stream is None:
        return wire.STREAM_VIEW_NONE
    if stream not in types.STREAM_VIEWS:
        raise ValueError(f"a stream shows {', '.join(types.STREAM_VIEWS)}, not {stream!r}")
    return types.STREAM_VIEWS[stream]


def describe_table(name: str) -> Call[types.TableInfo]:
    request = wire.DescribeTableRequest(name=name)
    return Call(_DESCRIBE, request, types.table_info, repeatable=True)


def delete_table(name: str) -> Call[types.TableInfo]:
    request = wire.DeleteTableRequest(name=name)
    return Call(_DROP, request, types.table_info, repeatable=False)


def list_tables(after: str) -> Call[tuple[list[str], str | None]]:
    def parse(answer: wire.ListTablesResponse) -> tuple[list[str], str | None]:
        return list(answer.names), answer.next_after or None

    return Call(_LIST, wire.ListTablesRequest(after=after), parse, repeatable=True)


def update_table(
    name: str,
    *,
    throughput: Units | None,
    add_index: types.Index | None,
    remove_index: str | None,
    index_throughput: Mapping[str, Units] | None,
    stream: str | Unchanged | None,
    deletion_protection: bool | None,
) -> Call[types.TableInfo]:
    """Raises ValueError."""
    request = wire.UpdateTableRequest(
        name=name,
        throughput=None if throughput is None else _units(throughput),
        add_index=None if add_index is None else _index(add_index),
        remove_index=remove_index or "",
        index_throughput={one: _units(units) for one, units in (index_throughput or {}).items()},
        stream=None if isinstance(stream, Unchanged) else _view(stream),
    )
    if deletion_protection is not None:
        request.deletion_protection = deletion_protection
    return Call(_UPDATE, request, types.table_info, repeatable=False)


def _time_to_live(answer: wire.TimeToLive) -> types.TimeToLive:
    return types.TimeToLive(answer.attribute or None, answer.status)


def describe_time_to_live(name: str) -> Call[types.TimeToLive]:
    request = wire.DescribeTimeToLiveRequest(table=name)
    return Call(_DESCRIBE_TTL, request, _time_to_live, repeatable=True)


def update_time_to_live(name: str, attribute: str | None) -> Call[types.TimeToLive]:
    request = wire.UpdateTimeToLiveRequest(table=name, attribute=attribute or "")
    return Call(_UPDATE_TTL, request, _time_to_live, repeatable=False)


def list_tags(name: str) -> Call[dict[str, str]]:
    request = wire.ListTagsRequest(table=name)
    return Call(_LIST_TAGS, request, lambda answer: dict(answer.tags), repeatable=True)


def tag_table(name: str, tags: Mapping[str, str]) -> Call[None]:
    request = wire.TagTableRequest(table=name, tags=tags)
    return Call(_TAG, request, lambda _: None, repeatable=True)


def untag_table(name: str, keys: Iterable[str]) -> Call[None]:
    request = wire.UntagTableRequest(table=name, keys=keys)
    return Call(_UNTAG, request, lambda _: None, repeatable=True)
