"""What every operation may reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trilith.objects.types import Objects
from trilith.runtime.clock import Clock
from trilith.s3.authentication import Authentication


@dataclass(frozen=True, slots=True)
class Context:
    objects: Objects
    clock: Clock
    region: str
    # Of a form's fields (post_operations.py), names in lower case. Raises S3Error.
    authenticate_form: Callable[[Mapping[str, str]], Authentication]
