"""Merges the metrics of several nodes into one valid exposition.

Each family appears once, with its HELP and TYPE, and every sample says which node of which zone
it is from: a scraper that meets a family twice refuses the whole page.
"""

from __future__ import annotations

from collections.abc import Iterable

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def merge(nodes: Iterable[tuple[str, str, str]]) -> str:
    """`nodes`: (node id, zone, text in format 0.0.4). Families keep their first order."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for node_id, zone, text in nodes:
        labels = f'node="{_escape(node_id)}",zone="{_escape(zone)}"'
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                family = _read_comment(line, family, heads, samples)
            elif line.strip():
                samples.setdefault(family, []).append(_with_labels(line, labels))
    lines: list[str] = []
    for family, rows in samples.items():
        lines += heads.get(family, ())
        lines += rows
    return "\n".join(lines) + "\n" if lines else ""


def _read_comment(
    line: str, family: str, heads: dict[str, list[str]], samples: dict[str, list[str]]
) -> str:
    """The family that the following samples belong to."""
    words = line.split(" ", 3)
    if len(words) < 3 or words[1] not in ("HELP", "TYPE"):
        return family
    family = words[2]
    samples.setdefault(family, [])
    known = heads.setdefault(family, [])
    prefix = f"# {words[1]} "
    if not any(head.startswith(prefix) for head in known):
        known.append(line)
    return family


def _with_labels(line: str, labels: str) -> str:
    brace, space = line.find("{"), line.find(" ")
    if brace != -1 and brace < space:
        separator = "" if line[brace + 1] == "}" else ","
        return f"{line[: brace + 1]}{labels}{separator}{line[brace + 1 :]}"
    return f"{line[:space]}{{{labels}}}{line[space:]}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
