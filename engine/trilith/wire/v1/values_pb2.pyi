from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttributeValue(_message.Message):
    __slots__ = ("string", "number", "binary", "boolean", "null", "list", "map", "string_set", "number_set", "binary_set")
    STRING_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BINARY_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    NULL_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    STRING_SET_FIELD_NUMBER: _ClassVar[int]
    NUMBER_SET_FIELD_NUMBER: _ClassVar[int]
    BINARY_SET_FIELD_NUMBER: _ClassVar[int]
    string: str
    number: str
    binary: bytes
    boolean: bool
    null: bool
    list: AttributeList
    map: Item
    string_set: StringSet
    number_set: StringSet
    binary_set: BinarySet
    def __init__(self, string: _Optional[str] = ..., number: _Optional[str] = ..., binary: _Optional[bytes] = ..., boolean: bool = ..., null: bool = ..., list: _Optional[_Union[AttributeList, _Mapping]] = ..., map: _Optional[_Union[Item, _Mapping]] = ..., string_set: _Optional[_Union[StringSet, _Mapping]] = ..., number_set: _Optional[_Union[StringSet, _Mapping]] = ..., binary_set: _Optional[_Union[BinarySet, _Mapping]] = ...) -> None: ...

class AttributeList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[AttributeValue]
    def __init__(self, values: _Optional[_Iterable[_Union[AttributeValue, _Mapping]]] = ...) -> None: ...

class StringSet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class BinarySet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("attributes",)
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.MessageMap[str, AttributeValue]
    def __init__(self, attributes: _Optional[_Mapping[str, AttributeValue]] = ...) -> None: ...

class Placeholders(_message.Message):
    __slots__ = ("names", "values")
    class NamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    NAMES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.ScalarMap[str, str]
    values: _containers.MessageMap[str, AttributeValue]
    def __init__(self, names: _Optional[_Mapping[str, str]] = ..., values: _Optional[_Mapping[str, AttributeValue]] = ...) -> None: ...
