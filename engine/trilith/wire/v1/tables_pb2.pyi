from trilith.wire.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_TYPE_UNSPECIFIED: _ClassVar[KeyType]
    KEY_TYPE_STRING: _ClassVar[KeyType]
    KEY_TYPE_NUMBER: _ClassVar[KeyType]
    KEY_TYPE_BINARY: _ClassVar[KeyType]

class Projection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROJECTION_ALL: _ClassVar[Projection]
    PROJECTION_KEYS_ONLY: _ClassVar[Projection]
    PROJECTION_INCLUDE: _ClassVar[Projection]

class StreamView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_VIEW_NONE: _ClassVar[StreamView]
    STREAM_VIEW_KEYS_ONLY: _ClassVar[StreamView]
    STREAM_VIEW_NEW_IMAGE: _ClassVar[StreamView]
    STREAM_VIEW_OLD_IMAGE: _ClassVar[StreamView]
    STREAM_VIEW_NEW_AND_OLD_IMAGES: _ClassVar[StreamView]

class Returned(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURNED_NONE: _ClassVar[Returned]
    RETURNED_ALL_OLD: _ClassVar[Returned]
    RETURNED_ALL_NEW: _ClassVar[Returned]
    RETURNED_UPDATED_OLD: _ClassVar[Returned]
    RETURNED_UPDATED_NEW: _ClassVar[Returned]
KEY_TYPE_UNSPECIFIED: KeyType
KEY_TYPE_STRING: KeyType
KEY_TYPE_NUMBER: KeyType
KEY_TYPE_BINARY: KeyType
PROJECTION_ALL: Projection
PROJECTION_KEYS_ONLY: Projection
PROJECTION_INCLUDE: Projection
STREAM_VIEW_NONE: StreamView
STREAM_VIEW_KEYS_ONLY: StreamView
STREAM_VIEW_NEW_IMAGE: StreamView
STREAM_VIEW_OLD_IMAGE: StreamView
STREAM_VIEW_NEW_AND_OLD_IMAGES: StreamView
RETURNED_NONE: Returned
RETURNED_ALL_OLD: Returned
RETURNED_ALL_NEW: Returned
RETURNED_UPDATED_OLD: Returned
RETURNED_UPDATED_NEW: Returned

class KeyAttribute(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: KeyType
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[KeyType, str]] = ...) -> None: ...

class Index(_message.Message):
    __slots__ = ("name", "partition_key", "sort_key", "projection", "included", "status", "throughput", "more_partition_keys", "more_sort_keys")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_KEY_FIELD_NUMBER: _ClassVar[int]
    SORT_KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    INCLUDED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    MORE_PARTITION_KEYS_FIELD_NUMBER: _ClassVar[int]
    MORE_SORT_KEYS_FIELD_NUMBER: _ClassVar[int]
    name: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute
    projection: Projection
    included: _containers.RepeatedScalarFieldContainer[str]
    status: str
    throughput: Throughput
    more_partition_keys: _containers.RepeatedCompositeFieldContainer[KeyAttribute]
    more_sort_keys: _containers.RepeatedCompositeFieldContainer[KeyAttribute]
    def __init__(self, name: _Optional[str] = ..., partition_key: _Optional[_Union[KeyAttribute, _Mapping]] = ..., sort_key: _Optional[_Union[KeyAttribute, _Mapping]] = ..., projection: _Optional[_Union[Projection, str]] = ..., included: _Optional[_Iterable[str]] = ..., status: _Optional[str] = ..., throughput: _Optional[_Union[Throughput, _Mapping]] = ..., more_partition_keys: _Optional[_Iterable[_Union[KeyAttribute, _Mapping]]] = ..., more_sort_keys: _Optional[_Iterable[_Union[KeyAttribute, _Mapping]]] = ...) -> None: ...

class Throughput(_message.Message):
    __slots__ = ("read_units", "write_units")
    READ_UNITS_FIELD_NUMBER: _ClassVar[int]
    WRITE_UNITS_FIELD_NUMBER: _ClassVar[int]
    read_units: int
    write_units: int
    def __init__(self, read_units: _Optional[int] = ..., write_units: _Optional[int] = ...) -> None: ...

class CreateTableRequest(_message.Message):
    __slots__ = ("name", "partition_key", "sort_key", "local_indexes", "global_indexes", "throughput", "tags", "deletion_protection", "stream")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_KEY_FIELD_NUMBER: _ClassVar[int]
    SORT_KEY_FIELD_NUMBER: _ClassVar[int]
    LOCAL_INDEXES_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_INDEXES_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    DELETION_PROTECTION_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    name: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute
    local_indexes: _containers.RepeatedCompositeFieldContainer[Index]
    global_indexes: _containers.RepeatedCompositeFieldContainer[Index]
    throughput: Throughput
    tags: _containers.ScalarMap[str, str]
    deletion_protection: bool
    stream: StreamView
    def __init__(self, name: _Optional[str] = ..., partition_key: _Optional[_Union[KeyAttribute, _Mapping]] = ..., sort_key: _Optional[_Union[KeyAttribute, _Mapping]] = ..., local_indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ..., global_indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ..., throughput: _Optional[_Union[Throughput, _Mapping]] = ..., tags: _Optional[_Mapping[str, str]] = ..., deletion_protection: bool = ..., stream: _Optional[_Union[StreamView, str]] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("name", "status", "partition_key", "sort_key", "local_indexes", "global_indexes", "throughput", "created_ms", "id", "arn", "deletion_protection", "stream", "stream_arn", "item_count", "size_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_KEY_FIELD_NUMBER: _ClassVar[int]
    SORT_KEY_FIELD_NUMBER: _ClassVar[int]
    LOCAL_INDEXES_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_INDEXES_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ARN_FIELD_NUMBER: _ClassVar[int]
    DELETION_PROTECTION_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    STREAM_ARN_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    status: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute
    local_indexes: _containers.RepeatedCompositeFieldContainer[Index]
    global_indexes: _containers.RepeatedCompositeFieldContainer[Index]
    throughput: Throughput
    created_ms: int
    id: str
    arn: str
    deletion_protection: bool
    stream: StreamView
    stream_arn: str
    item_count: int
    size_bytes: int
    def __init__(self, name: _Optional[str] = ..., status: _Optional[str] = ..., partition_key: _Optional[_Union[KeyAttribute, _Mapping]] = ..., sort_key: _Optional[_Union[KeyAttribute, _Mapping]] = ..., local_indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ..., global_indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ..., throughput: _Optional[_Union[Throughput, _Mapping]] = ..., created_ms: _Optional[int] = ..., id: _Optional[str] = ..., arn: _Optional[str] = ..., deletion_protection: bool = ..., stream: _Optional[_Union[StreamView, str]] = ..., stream_arn: _Optional[str] = ..., item_count: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class UpdateTableRequest(_message.Message):
    __slots__ = ("name", "throughput", "add_index", "remove_index", "index_throughput", "deletion_protection", "stream")
    class IndexThroughputEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Throughput
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Throughput, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    ADD_INDEX_FIELD_NUMBER: _ClassVar[int]
    REMOVE_INDEX_FIELD_NUMBER: _ClassVar[int]
    INDEX_THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    DELETION_PROTECTION_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    name: str
    throughput: Throughput
    add_index: Index
    remove_index: str
    index_throughput: _containers.MessageMap[str, Throughput]
    deletion_protection: bool
    stream: StreamView
    def __init__(self, name: _Optional[str] = ..., throughput: _Optional[_Union[Throughput, _Mapping]] = ..., add_index: _Optional[_Union[Index, _Mapping]] = ..., remove_index: _Optional[str] = ..., index_throughput: _Optional[_Mapping[str, Throughput]] = ..., deletion_protection: bool = ..., stream: _Optional[_Union[StreamView, str]] = ...) -> None: ...

class DescribeTimeToLiveRequest(_message.Message):
    __slots__ = ("table",)
    TABLE_FIELD_NUMBER: _ClassVar[int]
    table: str
    def __init__(self, table: _Optional[str] = ...) -> None: ...

class UpdateTimeToLiveRequest(_message.Message):
    __slots__ = ("table", "attribute")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    table: str
    attribute: str
    def __init__(self, table: _Optional[str] = ..., attribute: _Optional[str] = ...) -> None: ...

class TimeToLive(_message.Message):
    __slots__ = ("attribute", "status")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    status: str
    def __init__(self, attribute: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...

class ListTagsRequest(_message.Message):
    __slots__ = ("table",)
    TABLE_FIELD_NUMBER: _ClassVar[int]
    table: str
    def __init__(self, table: _Optional[str] = ...) -> None: ...

class ListTagsResponse(_message.Message):
    __slots__ = ("tags",)
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.ScalarMap[str, str]
    def __init__(self, tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TagTableRequest(_message.Message):
    __slots__ = ("table", "tags")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TABLE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    table: str
    tags: _containers.ScalarMap[str, str]
    def __init__(self, table: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TagTableResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UntagTableRequest(_message.Message):
    __slots__ = ("table", "keys")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    table: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, table: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ...) -> None: ...

class UntagTableResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeTableRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteTableRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListTablesRequest(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: str
    limit: int
    def __init__(self, after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListTablesResponse(_message.Message):
    __slots__ = ("names", "next_after")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    next_after: str
    def __init__(self, names: _Optional[_Iterable[str]] = ..., next_after: _Optional[str] = ...) -> None: ...

class GetItemRequest(_message.Message):
    __slots__ = ("table", "key", "consistent", "projection", "placeholders")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONSISTENT_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDERS_FIELD_NUMBER: _ClassVar[int]
    table: str
    key: _values_pb2.Item
    consistent: bool
    projection: str
    placeholders: _values_pb2.Placeholders
    def __init__(self, table: _Optional[str] = ..., key: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., consistent: bool = ..., projection: _Optional[str] = ..., placeholders: _Optional[_Union[_values_pb2.Placeholders, _Mapping]] = ...) -> None: ...

class GetItemResponse(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: _values_pb2.Item
    def __init__(self, item: _Optional[_Union[_values_pb2.Item, _Mapping]] = ...) -> None: ...

class WriteTerms(_message.Message):
    __slots__ = ("condition", "placeholders", "returned", "return_failed", "token")
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDERS_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    RETURN_FAILED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    condition: str
    placeholders: _values_pb2.Placeholders
    returned: Returned
    return_failed: bool
    token: bytes
    def __init__(self, condition: _Optional[str] = ..., placeholders: _Optional[_Union[_values_pb2.Placeholders, _Mapping]] = ..., returned: _Optional[_Union[Returned, str]] = ..., return_failed: bool = ..., token: _Optional[bytes] = ...) -> None: ...

class PutItemRequest(_message.Message):
    __slots__ = ("table", "item", "terms")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    table: str
    item: _values_pb2.Item
    terms: WriteTerms
    def __init__(self, table: _Optional[str] = ..., item: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., terms: _Optional[_Union[WriteTerms, _Mapping]] = ...) -> None: ...

class UpdateItemRequest(_message.Message):
    __slots__ = ("table", "key", "update", "terms")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    table: str
    key: _values_pb2.Item
    update: str
    terms: WriteTerms
    def __init__(self, table: _Optional[str] = ..., key: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., update: _Optional[str] = ..., terms: _Optional[_Union[WriteTerms, _Mapping]] = ...) -> None: ...

class DeleteItemRequest(_message.Message):
    __slots__ = ("table", "key", "terms")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    table: str
    key: _values_pb2.Item
    terms: WriteTerms
    def __init__(self, table: _Optional[str] = ..., key: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., terms: _Optional[_Union[WriteTerms, _Mapping]] = ...) -> None: ...

class WriteItemResponse(_message.Message):
    __slots__ = ("attributes", "refused")
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    attributes: _values_pb2.Item
    refused: bool
    def __init__(self, attributes: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., refused: bool = ...) -> None: ...

class KeysOfTable(_message.Message):
    __slots__ = ("table", "keys", "consistent", "projection", "placeholders")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENT_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDERS_FIELD_NUMBER: _ClassVar[int]
    table: str
    keys: _containers.RepeatedCompositeFieldContainer[_values_pb2.Item]
    consistent: bool
    projection: str
    placeholders: _values_pb2.Placeholders
    def __init__(self, table: _Optional[str] = ..., keys: _Optional[_Iterable[_Union[_values_pb2.Item, _Mapping]]] = ..., consistent: bool = ..., projection: _Optional[str] = ..., placeholders: _Optional[_Union[_values_pb2.Placeholders, _Mapping]] = ...) -> None: ...

class BatchGetItemRequest(_message.Message):
    __slots__ = ("tables",)
    TABLES_FIELD_NUMBER: _ClassVar[int]
    tables: _containers.RepeatedCompositeFieldContainer[KeysOfTable]
    def __init__(self, tables: _Optional[_Iterable[_Union[KeysOfTable, _Mapping]]] = ...) -> None: ...

class ItemsOfTable(_message.Message):
    __slots__ = ("table", "items")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    table: str
    items: _containers.RepeatedCompositeFieldContainer[_values_pb2.Item]
    def __init__(self, table: _Optional[str] = ..., items: _Optional[_Iterable[_Union[_values_pb2.Item, _Mapping]]] = ...) -> None: ...

class BatchGetItemResponse(_message.Message):
    __slots__ = ("tables", "unprocessed")
    TABLES_FIELD_NUMBER: _ClassVar[int]
    UNPROCESSED_FIELD_NUMBER: _ClassVar[int]
    tables: _containers.RepeatedCompositeFieldContainer[ItemsOfTable]
    unprocessed: _containers.RepeatedCompositeFieldContainer[KeysOfTable]
    def __init__(self, tables: _Optional[_Iterable[_Union[ItemsOfTable, _Mapping]]] = ..., unprocessed: _Optional[_Iterable[_Union[KeysOfTable, _Mapping]]] = ...) -> None: ...

class BatchWrite(_message.Message):
    __slots__ = ("table", "put", "delete_key")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    DELETE_KEY_FIELD_NUMBER: _ClassVar[int]
    table: str
    put: _values_pb2.Item
    delete_key: _values_pb2.Item
    def __init__(self, table: _Optional[str] = ..., put: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., delete_key: _Optional[_Union[_values_pb2.Item, _Mapping]] = ...) -> None: ...

class BatchWriteItemRequest(_message.Message):
    __slots__ = ("writes", "token")
    WRITES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    writes: _containers.RepeatedCompositeFieldContainer[BatchWrite]
    token: bytes
    def __init__(self, writes: _Optional[_Iterable[_Union[BatchWrite, _Mapping]]] = ..., token: _Optional[bytes] = ...) -> None: ...

class BatchWriteItemResponse(_message.Message):
    __slots__ = ("unprocessed",)
    UNPROCESSED_FIELD_NUMBER: _ClassVar[int]
    unprocessed: _containers.RepeatedCompositeFieldContainer[BatchWrite]
    def __init__(self, unprocessed: _Optional[_Iterable[_Union[BatchWrite, _Mapping]]] = ...) -> None: ...

class PageTerms(_message.Message):
    __slots__ = ("table", "index", "filter", "projection", "placeholders", "limit", "start_key", "consistent", "count_only")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDERS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_KEY_FIELD_NUMBER: _ClassVar[int]
    CONSISTENT_FIELD_NUMBER: _ClassVar[int]
    COUNT_ONLY_FIELD_NUMBER: _ClassVar[int]
    table: str
    index: str
    filter: str
    projection: str
    placeholders: _values_pb2.Placeholders
    limit: int
    start_key: _values_pb2.Item
    consistent: bool
    count_only: bool
    def __init__(self, table: _Optional[str] = ..., index: _Optional[str] = ..., filter: _Optional[str] = ..., projection: _Optional[str] = ..., placeholders: _Optional[_Union[_values_pb2.Placeholders, _Mapping]] = ..., limit: _Optional[int] = ..., start_key: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., consistent: bool = ..., count_only: bool = ...) -> None: ...

class QueryRequest(_message.Message):
    __slots__ = ("terms", "key_condition", "descending")
    TERMS_FIELD_NUMBER: _ClassVar[int]
    KEY_CONDITION_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    terms: PageTerms
    key_condition: str
    descending: bool
    def __init__(self, terms: _Optional[_Union[PageTerms, _Mapping]] = ..., key_condition: _Optional[str] = ..., descending: bool = ...) -> None: ...

class ScanRequest(_message.Message):
    __slots__ = ("terms", "segment", "segments")
    TERMS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    terms: PageTerms
    segment: int
    segments: int
    def __init__(self, terms: _Optional[_Union[PageTerms, _Mapping]] = ..., segment: _Optional[int] = ..., segments: _Optional[int] = ...) -> None: ...

class PageResponse(_message.Message):
    __slots__ = ("items", "last_key", "count", "scanned_count")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    LAST_KEY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SCANNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[_values_pb2.Item]
    last_key: _values_pb2.Item
    count: int
    scanned_count: int
    def __init__(self, items: _Optional[_Iterable[_Union[_values_pb2.Item, _Mapping]]] = ..., last_key: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., count: _Optional[int] = ..., scanned_count: _Optional[int] = ...) -> None: ...
