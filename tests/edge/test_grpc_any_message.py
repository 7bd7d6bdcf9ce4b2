"""Whatever a message says, its sender gets an answer or is told what is wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dynamodb.local_app import LocalApp
from tests.edge.local_services import METHODS, LocalServices

from trilith.edge.grpc_call import Call
from trilith.errors import InternalError, TrilithError
from trilith.iam.credentials import root_credential
from trilith.runtime.clock import SystemClock

DEPTH_MAX = 5
# Words that get past the first checks.
WORDS = st.sampled_from(
    ["people", "id", "n", "a", "#a", ":a", "1", "-1.5e3", "SET a = :a", "attribute_exists(id)"]
)
TEXTS = WORDS | st.text(max_size=6)
INTEGERS = st.integers(-(2**31), 2**31 - 1) | st.integers(0, 3)


def _fill(draw: Any, message: Message, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if draw(st.integers(0, 2)):
            _fill_field(draw, message, field, depth)


def _fill_field(draw: Any, message: Message, field: FieldDescriptor, depth: int) -> None:
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if field.message_type is not None and depth >= DEPTH_MAX:
        return
    if is_map:
        entry: Any = message_factory.GetMessageClass(field.message_type)()
        for one in field.message_type.fields:
            _fill_field(draw, entry, one, depth)
        held = getattr(message, field.name)
        if field.message_type.fields_by_name["value"].message_type is not None:
            held[entry.key].CopyFrom(entry.value)
        else:
            held[entry.key] = entry.value
        return
    for _ in range(draw(st.integers(0, 2)) if field.is_repeated else 1):
        if field.message_type is not None:
            held = getattr(message, field.name)
            inner = held.add() if field.is_repeated else held
            inner.SetInParent()
            _fill(draw, inner, depth + 1)
            continue
        value = draw(_SCALARS[field.cpp_type] if field.type != field.TYPE_BYTES else BLOBS)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)


BLOBS = st.binary(max_size=17)
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: TEXTS,
    FieldDescriptor.CPPTYPE_INT32: INTEGERS,
    FieldDescriptor.CPPTYPE_INT64: INTEGERS,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(0, 7),
}


class _Context:
    """What a call may ask of its transport."""

    async def write(self, _raw: bytes) -> None: ...


@pytest.mark.parametrize(
    "method", [one for one in METHODS if not one.client_streaming], ids=lambda one: one.name
)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_message_is_answered_or_refused(method: Any, data: st.DataObject) -> None:
    request = message_factory.GetMessageClass(method.input_type)()
    _fill(data.draw, request, 0)
    app = LocalApp()
    run = LocalServices(app).run(method)
    identity = root_credential("a", "b").identity

    told: list[TrilithError] = []

    async def scenario() -> None:
        context: Any = _Context()
        call = Call(context, SystemClock(), method.name, "id", identity)
        try:
            answer = await run(call, request)
        except TrilithError as error:
            told.append(error)
        else:
            assert answer is None or answer.SerializeToString() is not None

    app.make_table("people", "id")
    asyncio.run(scenario())
    assert not any(isinstance(error, InternalError) for error in told)
