"""ProjectionExpression: a list of document paths that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence

from trilith.dynamodb.expressions.binding import Binding
from trilith.dynamodb.expressions.lexer import ExpressionError, Faults, Tokens
from trilith.dynamodb.expressions.path_parser import PathSyntax, parse_path
from trilith.tables import paths as document_paths
from trilith.tables.paths import Path


class ProjectionSyntax:
    """A parsed projection; `bind` gives its paths."""

    __slots__ = ("_paths",)

    def __init__(self, paths: Sequence[PathSyntax]) -> None:
        self._paths = paths

    def bind(self, binding: Binding) -> tuple[Path, ...]:
        paths = tuple([one.path(binding) for one in self._paths])
        require_distinct(paths)
        return paths


def parse_projection(text: str) -> ProjectionSyntax:
    """Raises ExpressionError."""
    tokens, faults = Tokens(text), Faults()
    paths = [parse_path(tokens, faults, 0)]
    while tokens.take_if(","):
        paths.append(parse_path(tokens, faults, 0))
    tokens.expect_end()
    faults.raise_first()
    return ProjectionSyntax(paths)


def require_distinct(paths: Sequence[Path]) -> None:
    """ExpressionError when one path is, leads to, or contradicts another."""
    if all(len(path) == 1 for path in paths) and len(set(paths)) == len(paths):
        return
    complete: set[Path] = set()
    leading: dict[Path, Path] = {}  # every beginning of a path, with that path
    below: dict[Path, tuple[type, Path]] = {}  # what the path below a beginning goes on with
    for path in paths:
        if path in leading:
            raise ExpressionError(_message("overlap", leading[path], path))
        for size in range(1, len(path)):
            beginning, step = path[:size], path[size]
            if beginning in complete:
                raise ExpressionError(_message("overlap", beginning, path))
            kind, other = below.setdefault(beginning, (type(step), path))
            if kind is not type(step):
                raise ExpressionError(_message("conflict", other, path))
            leading.setdefault(beginning, path)
        leading[path] = path
        complete.add(path)


def _message(verb: str, one: Path, other: Path) -> str:
    return (
        f"Two document paths {verb} with each other; must remove or rewrite one of these paths; "
        f"path one: {document_paths.show(one)}, path two: {document_paths.show(other)}"
    )
