#!/usr/bin/env python3
"""The blocking client, made from the asynchronous one: a class is written once, and awaits.

    tools/blocking_client.py [DIRECTORY]     writes there (default: engine/trilith/client)

Made are the modules in MADE: those whose twins differ in nothing but waiting. What does I/O in its
own way (sessions, readers, bodies) is written twice. `make blocking` runs this, and a test compares
what is committed; do not edit what is made.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "engine" / "trilith" / "client"
MADE = ("bucket", "change_reader", "client", "object_reader", "table", "upload")
HEADER = "# Made from async_{name}.py by `make blocking`: change that one.\n"

# In this order.
_WORDS = (
    (r"\basynchronous client\b", "blocking client"),
    (r", an iterable of bytes or\n\s+an asynchronous one\.", " or an iterable of bytes."),
    (
        r"It belongs to one event loop\.",
        "Threads may share it; processes made by fork may not.",
    ),
    (r"\.join\(\[(\w+) async for \1 in (\w+)\]\)", r".join(\2)"),
    (r"\[(\w+) async for \1 in ([^\]]+)\]", r"list(\2)"),
    (r"\basyncio\.to_thread\((\w+(?:\.\w+)*), ", r"\1("),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"(?m)^( *)async for one in (.+):\n +yield one$", r"\1yield from \2"),
    (r"(?m)^( *)for one in (.+):\n +yield one$", r"\1yield from \2"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\bimport asyncio\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\banext\(", "next("),
    (r"\bAsync([A-Z]\w+)", r"\1"),
    (r"\basync_(\w+)", r"\1"),
    (r"\b(\w+)_async\b", r"\1"),
)


def blocking(name: str) -> str:
    """The text of a module of the blocking client, to be formatted."""
    text = (CLIENT / f"async_{name}.py").read_text("utf-8")
    for pattern, instead in _WORDS:
        text = re.sub(pattern, instead, text)
    return HEADER.format(name=name) + text


def main(directory: Path) -> None:
    ruff = Path(sys.executable).parent / "ruff"
    settings = ("--config", str(ROOT / "pyproject.toml"), "--no-cache", "--quiet")
    for name in MADE:
        path = directory / f"{name}.py"
        path.write_text(blocking(name), "utf-8")
        imports = [ruff, "check", *settings, "--select", "I,F401,F811,PLC0414", "--fix", path]
        subprocess.run(imports, check=True)
        subprocess.run([ruff, "format", *settings, path], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CLIENT)
