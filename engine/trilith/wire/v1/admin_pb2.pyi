from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "zone", "grpc_address", "reachable")
    ID_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    GRPC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    zone: str
    grpc_address: str
    reachable: bool
    def __init__(self, id: _Optional[str] = ..., zone: _Optional[str] = ..., grpc_address: _Optional[str] = ..., reachable: bool = ...) -> None: ...

class Partition(_message.Message):
    __slots__ = ("id", "keyspace", "leader_zone", "in_sync_zones")
    ID_FIELD_NUMBER: _ClassVar[int]
    KEYSPACE_FIELD_NUMBER: _ClassVar[int]
    LEADER_ZONE_FIELD_NUMBER: _ClassVar[int]
    IN_SYNC_ZONES_FIELD_NUMBER: _ClassVar[int]
    id: int
    keyspace: str
    leader_zone: str
    in_sync_zones: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[int] = ..., keyspace: _Optional[str] = ..., leader_zone: _Optional[str] = ..., in_sync_zones: _Optional[_Iterable[str]] = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("version", "answered_by", "ready", "nodes", "partitions", "document")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    version: str
    answered_by: str
    ready: bool
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    partitions: _containers.RepeatedCompositeFieldContainer[Partition]
    document: str
    def __init__(self, version: _Optional[str] = ..., answered_by: _Optional[str] = ..., ready: bool = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., partitions: _Optional[_Iterable[_Union[Partition, _Mapping]]] = ..., document: _Optional[str] = ...) -> None: ...
