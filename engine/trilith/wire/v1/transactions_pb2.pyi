from trilith.wire.v1 import objects_pb2 as _objects_pb2
from trilith.wire.v1 import tables_pb2 as _tables_pb2
from trilith.wire.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConditionCheck(_message.Message):
    __slots__ = ("table", "key", "terms")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    table: str
    key: _values_pb2.Item
    terms: _tables_pb2.WriteTerms
    def __init__(self, table: _Optional[str] = ..., key: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., terms: _Optional[_Union[_tables_pb2.WriteTerms, _Mapping]] = ...) -> None: ...

class PutWholeObject(_message.Message):
    __slots__ = ("bucket", "key", "metadata", "conditions", "body")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    metadata: _objects_pb2.ObjectMetadata
    conditions: _objects_pb2.WriteConditions
    body: bytes
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., metadata: _Optional[_Union[_objects_pb2.ObjectMetadata, _Mapping]] = ..., conditions: _Optional[_Union[_objects_pb2.WriteConditions, _Mapping]] = ..., body: _Optional[bytes] = ...) -> None: ...

class CopyWholeObject(_message.Message):
    __slots__ = ("source_bucket", "source_key", "bucket", "key", "metadata", "conditions")
    SOURCE_BUCKET_FIELD_NUMBER: _ClassVar[int]
    SOURCE_KEY_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    source_bucket: str
    source_key: str
    bucket: str
    key: str
    metadata: _objects_pb2.ObjectMetadata
    conditions: _objects_pb2.WriteConditions
    def __init__(self, source_bucket: _Optional[str] = ..., source_key: _Optional[str] = ..., bucket: _Optional[str] = ..., key: _Optional[str] = ..., metadata: _Optional[_Union[_objects_pb2.ObjectMetadata, _Mapping]] = ..., conditions: _Optional[_Union[_objects_pb2.WriteConditions, _Mapping]] = ...) -> None: ...

class DeleteWholeObject(_message.Message):
    __slots__ = ("bucket", "key", "conditions")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    conditions: _objects_pb2.WriteConditions
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., conditions: _Optional[_Union[_objects_pb2.WriteConditions, _Mapping]] = ...) -> None: ...

class TransactPart(_message.Message):
    __slots__ = ("put_item", "update_item", "delete_item", "check_item", "put_object", "copy_object", "delete_object")
    PUT_ITEM_FIELD_NUMBER: _ClassVar[int]
    UPDATE_ITEM_FIELD_NUMBER: _ClassVar[int]
    DELETE_ITEM_FIELD_NUMBER: _ClassVar[int]
    CHECK_ITEM_FIELD_NUMBER: _ClassVar[int]
    PUT_OBJECT_FIELD_NUMBER: _ClassVar[int]
    COPY_OBJECT_FIELD_NUMBER: _ClassVar[int]
    DELETE_OBJECT_FIELD_NUMBER: _ClassVar[int]
    put_item: _tables_pb2.PutItemRequest
    update_item: _tables_pb2.UpdateItemRequest
    delete_item: _tables_pb2.DeleteItemRequest
    check_item: ConditionCheck
    put_object: PutWholeObject
    copy_object: CopyWholeObject
    delete_object: DeleteWholeObject
    def __init__(self, put_item: _Optional[_Union[_tables_pb2.PutItemRequest, _Mapping]] = ..., update_item: _Optional[_Union[_tables_pb2.UpdateItemRequest, _Mapping]] = ..., delete_item: _Optional[_Union[_tables_pb2.DeleteItemRequest, _Mapping]] = ..., check_item: _Optional[_Union[ConditionCheck, _Mapping]] = ..., put_object: _Optional[_Union[PutWholeObject, _Mapping]] = ..., copy_object: _Optional[_Union[CopyWholeObject, _Mapping]] = ..., delete_object: _Optional[_Union[DeleteWholeObject, _Mapping]] = ...) -> None: ...

class TransactRequest(_message.Message):
    __slots__ = ("parts", "token")
    PARTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[TransactPart]
    token: bytes
    def __init__(self, parts: _Optional[_Iterable[_Union[TransactPart, _Mapping]]] = ..., token: _Optional[bytes] = ...) -> None: ...

class TransactResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TransactGet(_message.Message):
    __slots__ = ("table", "key", "projection", "placeholders")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDERS_FIELD_NUMBER: _ClassVar[int]
    table: str
    key: _values_pb2.Item
    projection: str
    placeholders: _values_pb2.Placeholders
    def __init__(self, table: _Optional[str] = ..., key: _Optional[_Union[_values_pb2.Item, _Mapping]] = ..., projection: _Optional[str] = ..., placeholders: _Optional[_Union[_values_pb2.Placeholders, _Mapping]] = ...) -> None: ...

class TransactGetItemsRequest(_message.Message):
    __slots__ = ("gets",)
    GETS_FIELD_NUMBER: _ClassVar[int]
    gets: _containers.RepeatedCompositeFieldContainer[TransactGet]
    def __init__(self, gets: _Optional[_Iterable[_Union[TransactGet, _Mapping]]] = ...) -> None: ...

class TransactGetItemsResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: _containers.RepeatedCompositeFieldContainer[_tables_pb2.GetItemResponse]
    def __init__(self, found: _Optional[_Iterable[_Union[_tables_pb2.GetItemResponse, _Mapping]]] = ...) -> None: ...
