"""What every operation may reach, and what one is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from trilith.objects.types import Objects
from trilith.runtime.clock import Clock
from trilith.s3.answer import Answer
from trilith.s3.authentication import Authentication
from trilith.s3.request import Request


@dataclass(frozen=True, slots=True)
class Context:
    objects: Objects
    clock: Clock
    region: str
    # Of a form's fields (post_operations.py), names in lower case. Raises S3Error.
    authenticate_form: Callable[[Mapping[str, str]], Authentication]


Handler = Callable[[Context, Request], Awaitable[Answer]]
