"""One keyspace shared by the state machines of several models.

Each keeps to its own families and to struct tags that no other uses.
"""

from __future__ import annotations

from typing import Any, Union, get_args

import msgspec

from trilith.errors import InternalError
from trilith.replication.state_machine import Context, Effects, Model, View


class JoinedModel:
    """Implements Model: hands each command and query to the model whose type it is."""

    def __init__(self, *models: Model) -> None:
        self._by_command = {t: model for model in models for t in get_args(model.command_type)}
        self._by_query = {t: model for model in models for t in get_args(model.query_type)}
        results = {t: None for model in models for t in get_args(model.result_type)}
        self.command_type: Any = Union[tuple(self._by_command)]  # noqa: UP007 (of a tuple)
        self.query_type: Any = Union[tuple(self._by_query)]  # noqa: UP007
        self.result_type: Any = Union[tuple(results)]  # noqa: UP007

    def evaluate(
        self, command: msgspec.Struct, view: View, effects: Effects, context: Context
    ) -> msgspec.Struct:
        model = self._by_command.get(type(command))
        if model is None:
            raise InternalError(f"no such command: {type(command).__name__}")
        return model.evaluate(command, view, effects, context)

    def answer(self, query: msgspec.Struct, view: View) -> msgspec.Struct:
        model = self._by_query.get(type(query))
        if model is None:
            raise InternalError(f"no such query: {type(query).__name__}")
        return model.answer(query, view)
