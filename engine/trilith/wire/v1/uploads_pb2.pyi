from trilith.wire.v1 import objects_pb2 as _objects_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateUploadRequest(_message.Message):
    __slots__ = ("bucket", "key", "metadata")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    metadata: _objects_pb2.ObjectMetadata
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., metadata: _Optional[_Union[_objects_pb2.ObjectMetadata, _Mapping]] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ("key", "id", "initiated_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INITIATED_MS_FIELD_NUMBER: _ClassVar[int]
    key: str
    id: str
    initiated_ms: int
    def __init__(self, key: _Optional[str] = ..., id: _Optional[str] = ..., initiated_ms: _Optional[int] = ...) -> None: ...

class PutPartHead(_message.Message):
    __slots__ = ("bucket", "key", "upload_id", "number", "size")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    upload_id: str
    number: int
    size: int
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., upload_id: _Optional[str] = ..., number: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class PutPartRequest(_message.Message):
    __slots__ = ("head", "data", "last")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    head: PutPartHead
    data: bytes
    last: bool
    def __init__(self, head: _Optional[_Union[PutPartHead, _Mapping]] = ..., data: _Optional[bytes] = ..., last: bool = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("number", "size", "etag")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    number: int
    size: int
    etag: str
    def __init__(self, number: _Optional[int] = ..., size: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...

class ListPartsRequest(_message.Message):
    __slots__ = ("bucket", "key", "upload_id", "after", "limit")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    upload_id: str
    after: int
    limit: int
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., upload_id: _Optional[str] = ..., after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListPartsResponse(_message.Message):
    __slots__ = ("parts", "next_after")
    PARTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    next_after: int
    def __init__(self, parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ..., next_after: _Optional[int] = ...) -> None: ...

class ListUploadsRequest(_message.Message):
    __slots__ = ("bucket", "prefix", "after_key", "after_id", "limit")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    AFTER_KEY_FIELD_NUMBER: _ClassVar[int]
    AFTER_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    prefix: str
    after_key: str
    after_id: str
    limit: int
    def __init__(self, bucket: _Optional[str] = ..., prefix: _Optional[str] = ..., after_key: _Optional[str] = ..., after_id: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListUploadsResponse(_message.Message):
    __slots__ = ("uploads", "next_after_key", "next_after_id")
    UPLOADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_KEY_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_ID_FIELD_NUMBER: _ClassVar[int]
    uploads: _containers.RepeatedCompositeFieldContainer[Upload]
    next_after_key: str
    next_after_id: str
    def __init__(self, uploads: _Optional[_Iterable[_Union[Upload, _Mapping]]] = ..., next_after_key: _Optional[str] = ..., next_after_id: _Optional[str] = ...) -> None: ...

class CompleteUploadRequest(_message.Message):
    __slots__ = ("bucket", "key", "upload_id", "parts", "conditions")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    upload_id: str
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    conditions: _objects_pb2.WriteConditions
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., upload_id: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ..., conditions: _Optional[_Union[_objects_pb2.WriteConditions, _Mapping]] = ...) -> None: ...

class AbortUploadRequest(_message.Message):
    __slots__ = ("bucket", "key", "upload_id")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    upload_id: str
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., upload_id: _Optional[str] = ...) -> None: ...

class AbortUploadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
