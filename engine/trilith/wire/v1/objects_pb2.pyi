from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Bucket(_message.Message):
    __slots__ = ("name", "created_ms", "region")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    name: str
    created_ms: int
    region: str
    def __init__(self, name: _Optional[str] = ..., created_ms: _Optional[int] = ..., region: _Optional[str] = ...) -> None: ...

class CreateBucketRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteBucketRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteBucketResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBucketsRequest(_message.Message):
    __slots__ = ("prefix", "after", "limit")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    after: str
    limit: int
    def __init__(self, prefix: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListBucketsResponse(_message.Message):
    __slots__ = ("buckets", "next_after")
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    buckets: _containers.RepeatedCompositeFieldContainer[Bucket]
    next_after: str
    def __init__(self, buckets: _Optional[_Iterable[_Union[Bucket, _Mapping]]] = ..., next_after: _Optional[str] = ...) -> None: ...

class ObjectMetadata(_message.Message):
    __slots__ = ("headers", "user")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class UserEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    headers: _containers.ScalarMap[str, str]
    user: _containers.ScalarMap[str, str]
    def __init__(self, headers: _Optional[_Mapping[str, str]] = ..., user: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Checksum(_message.Message):
    __slots__ = ("algorithm", "value", "kind")
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    algorithm: str
    value: str
    kind: str
    def __init__(self, algorithm: _Optional[str] = ..., value: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class ObjectInfo(_message.Message):
    __slots__ = ("key", "size", "etag", "last_modified_ms", "metadata", "checksum", "version_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    LAST_MODIFIED_MS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    etag: str
    last_modified_ms: int
    metadata: ObjectMetadata
    checksum: Checksum
    version_id: bytes
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., etag: _Optional[str] = ..., last_modified_ms: _Optional[int] = ..., metadata: _Optional[_Union[ObjectMetadata, _Mapping]] = ..., checksum: _Optional[_Union[Checksum, _Mapping]] = ..., version_id: _Optional[bytes] = ...) -> None: ...

class WriteConditions(_message.Message):
    __slots__ = ("if_match", "if_absent")
    IF_MATCH_FIELD_NUMBER: _ClassVar[int]
    IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    if_match: str
    if_absent: bool
    def __init__(self, if_match: _Optional[str] = ..., if_absent: bool = ...) -> None: ...

class PutObjectHead(_message.Message):
    __slots__ = ("bucket", "key", "metadata", "conditions", "size")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    metadata: ObjectMetadata
    conditions: WriteConditions
    size: int
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., metadata: _Optional[_Union[ObjectMetadata, _Mapping]] = ..., conditions: _Optional[_Union[WriteConditions, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class PutObjectRequest(_message.Message):
    __slots__ = ("head", "data", "token", "last")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    head: PutObjectHead
    data: bytes
    token: bytes
    last: bool
    def __init__(self, head: _Optional[_Union[PutObjectHead, _Mapping]] = ..., data: _Optional[bytes] = ..., token: _Optional[bytes] = ..., last: bool = ...) -> None: ...

class ByteRange(_message.Message):
    __slots__ = ("first", "last", "suffix")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    suffix: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ..., suffix: _Optional[int] = ...) -> None: ...

class GetObjectRequest(_message.Message):
    __slots__ = ("bucket", "key", "range", "eventual")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    EVENTUAL_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    range: ByteRange
    eventual: bool
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., range: _Optional[_Union[ByteRange, _Mapping]] = ..., eventual: bool = ...) -> None: ...

class GetObjectResponse(_message.Message):
    __slots__ = ("info", "data")
    INFO_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    info: ObjectInfo
    data: bytes
    def __init__(self, info: _Optional[_Union[ObjectInfo, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class HeadObjectRequest(_message.Message):
    __slots__ = ("bucket", "key", "eventual")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    EVENTUAL_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    eventual: bool
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., eventual: bool = ...) -> None: ...

class DeleteObjectRequest(_message.Message):
    __slots__ = ("bucket", "key", "conditions", "token")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    conditions: WriteConditions
    token: bytes
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., conditions: _Optional[_Union[WriteConditions, _Mapping]] = ..., token: _Optional[bytes] = ...) -> None: ...

class DeleteObjectResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: bool = ...) -> None: ...

class CopyObjectRequest(_message.Message):
    __slots__ = ("source_bucket", "source_key", "bucket", "key", "metadata", "conditions", "token")
    SOURCE_BUCKET_FIELD_NUMBER: _ClassVar[int]
    SOURCE_KEY_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    source_bucket: str
    source_key: str
    bucket: str
    key: str
    metadata: ObjectMetadata
    conditions: WriteConditions
    token: bytes
    def __init__(self, source_bucket: _Optional[str] = ..., source_key: _Optional[str] = ..., bucket: _Optional[str] = ..., key: _Optional[str] = ..., metadata: _Optional[_Union[ObjectMetadata, _Mapping]] = ..., conditions: _Optional[_Union[WriteConditions, _Mapping]] = ..., token: _Optional[bytes] = ...) -> None: ...

class ListObjectsRequest(_message.Message):
    __slots__ = ("bucket", "prefix", "delimiter", "after", "limit", "eventual")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    DELIMITER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    EVENTUAL_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    prefix: str
    delimiter: str
    after: str
    limit: int
    eventual: bool
    def __init__(self, bucket: _Optional[str] = ..., prefix: _Optional[str] = ..., delimiter: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ..., eventual: bool = ...) -> None: ...

class ListedObject(_message.Message):
    __slots__ = ("key", "size", "etag", "last_modified_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    LAST_MODIFIED_MS_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    etag: str
    last_modified_ms: int
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., etag: _Optional[str] = ..., last_modified_ms: _Optional[int] = ...) -> None: ...

class ListObjectsResponse(_message.Message):
    __slots__ = ("objects", "common_prefixes", "next_after")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    COMMON_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[ListedObject]
    common_prefixes: _containers.RepeatedScalarFieldContainer[str]
    next_after: str
    def __init__(self, objects: _Optional[_Iterable[_Union[ListedObject, _Mapping]]] = ..., common_prefixes: _Optional[_Iterable[str]] = ..., next_after: _Optional[str] = ...) -> None: ...
