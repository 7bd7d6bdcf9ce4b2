from trilith.wire.v1 import tables_pb2 as _tables_pb2
from trilith.wire.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ShardStart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHARD_START_OLDEST: _ClassVar[ShardStart]
    SHARD_START_LATEST: _ClassVar[ShardStart]
    SHARD_START_TIME: _ClassVar[ShardStart]

class ChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_KIND_UNSPECIFIED: _ClassVar[ChangeKind]
    CHANGE_KIND_INSERT: _ClassVar[ChangeKind]
    CHANGE_KIND_MODIFY: _ClassVar[ChangeKind]
    CHANGE_KIND_REMOVE: _ClassVar[ChangeKind]
SHARD_START_OLDEST: ShardStart
SHARD_START_LATEST: ShardStart
SHARD_START_TIME: ShardStart
CHANGE_KIND_UNSPECIFIED: ChangeKind
CHANGE_KIND_INSERT: ChangeKind
CHANGE_KIND_MODIFY: ChangeKind
CHANGE_KIND_REMOVE: ChangeKind

class ListStreamsRequest(_message.Message):
    __slots__ = ("table", "after", "limit")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    table: str
    after: str
    limit: int
    def __init__(self, table: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("arn", "table", "label")
    ARN_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    arn: str
    table: str
    label: str
    def __init__(self, arn: _Optional[str] = ..., table: _Optional[str] = ..., label: _Optional[str] = ...) -> None: ...

class ListStreamsResponse(_message.Message):
    __slots__ = ("streams", "next_after")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[Stream]
    next_after: str
    def __init__(self, streams: _Optional[_Iterable[_Union[Stream, _Mapping]]] = ..., next_after: _Optional[str] = ...) -> None: ...

class DescribeStreamRequest(_message.Message):
    __slots__ = ("arn", "after", "limit")
    ARN_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    arn: str
    after: str
    limit: int
    def __init__(self, arn: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Shard(_message.Message):
    __slots__ = ("name", "parent", "first", "last")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    name: str
    parent: str
    first: str
    last: str
    def __init__(self, name: _Optional[str] = ..., parent: _Optional[str] = ..., first: _Optional[str] = ..., last: _Optional[str] = ...) -> None: ...

class StreamDescription(_message.Message):
    __slots__ = ("arn", "table", "label", "view", "status", "shards", "next_after")
    ARN_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    arn: str
    table: str
    label: str
    view: _tables_pb2.StreamView
    status: str
    shards: _containers.RepeatedCompositeFieldContainer[Shard]
    next_after: str
    def __init__(self, arn: _Optional[str] = ..., table: _Optional[str] = ..., label: _Optional[str] = ..., view: _Optional[_Union[_tables_pb2.StreamView, str]] = ..., status: _Optional[str] = ..., shards: _Optional[_Iterable[_Union[Shard, _Mapping]]] = ..., next_after: _Optional[str] = ...) -> None: ...

class GetShardPositionRequest(_message.Message):
    __slots__ = ("arn", "shard", "start", "time_ms")
    ARN_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    arn: str
    shard: str
    start: ShardStart
    time_ms: int
    def __init__(self, arn: _Optional[str] = ..., shard: _Optional[str] = ..., start: _Optional[_Union[ShardStart, str]] = ..., time_ms: _Optional[int] = ...) -> None: ...

class ShardPosition(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: str
    def __init__(self, after: _Optional[str] = ...) -> None: ...

class GetRecordsRequest(_message.Message):
    __slots__ = ("arn", "shard", "after", "limit")
    ARN_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    arn: str
    shard: str
    after: str
    limit: int
    def __init__(self, arn: _Optional[str] = ..., shard: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("id", "kind", "sequence", "time_s", "keys", "old_image", "new_image", "is_expiry")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    OLD_IMAGE_FIELD_NUMBER: _ClassVar[int]
    NEW_IMAGE_FIELD_NUMBER: _ClassVar[int]
    IS_EXPIRY_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: ChangeKind
    sequence: str
    time_s: int
    keys: _values_pb2.Item
    old_image: _values_pb2.Item
    new_image: _values_pb2.Item
    is_expiry: bool
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[ChangeKind, str]] = ..., sequence: _Optional[str] = ..., time_s: _Optional[int] = ..., keys: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., old_image: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., new_image: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., is_expiry: bool = ...) -> None: ...

class GetRecordsResponse(_message.Message):
    __slots__ = ("changes", "after", "is_end")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    IS_END_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    after: str
    is_end: bool
    def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., after: _Optional[str] = ..., is_end: bool = ...) -> None: ...
