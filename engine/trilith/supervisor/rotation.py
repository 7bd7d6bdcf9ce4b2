"""Moves a large log file aside: az1.log -> az1.log.1 -> az1.log.2, the oldest dropped."""

from __future__ import annotations

from pathlib import Path


def rotate(file: Path, bytes_max: int, files_max: int) -> bool:
    """Make room when the file has reached `bytes_max`; whether it was moved."""
    try:
        if file.stat().st_size < bytes_max:
            return False
    except FileNotFoundError:
        return False
    aside = [file.with_name(f"{file.name}.{number}") for number in range(1, files_max + 1)]
    for older, newer in zip(reversed(aside), [*reversed(aside[:-1]), file], strict=True):
        if newer.exists():
            newer.replace(older)
    return True
