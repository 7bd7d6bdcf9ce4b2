"""The house rules that a machine can check; each failure names the rule and what to do instead."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trilith import config

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "engine" / "trilith"
SOURCES = sorted(path for path in ENGINE.rglob("*.py") if "wire" not in path.parts)
EVERYTHING = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
NAMELESS = re.compile(r"utils?|help\w+|common|manager|base|misc")

# Floors that talk to the world themselves. All others go through trilith.runtime's ports, so that
# a simulation can run them on virtual time.
OUTSIDE_WORLD = ("runtime", "cli", "supervisor", "edge", "client")
# The composition root and its parts are of this process, as are the settings read at its start.
PROCESS_FILES = {
    "node/composition.py",
    "event_log.py",
    "presence.py",
    "node/directory.py",
    "config.py",
    "__main__.py",
}
BANNED_CALLS = {
    "time.time": "runtime.clock.wall_ms()",
    "time.time_ns": "runtime.clock.wall_ms()",
    "time.monotonic": "runtime.clock.monotonic()",
    "time.perf_counter": "runtime.clock.monotonic()",
    "time.sleep": "asyncio.sleep()",
    "datetime.now": "runtime.clock.wall_ms()",
    "os.urandom": "runtime.entropy.token_bytes()",
    "secrets.token_bytes": "runtime.entropy.token_bytes()",
    "random.random": "runtime.entropy.uniform()",
    "threading.Thread": "runtime.workers.run()",
    "open": "runtime.disk",
    "os.open": "runtime.disk",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_two_subjects() -> None:
    long = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in EVERYTHING}
    assert {name: lines for name, lines in long.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_of_the_engine_is_longer_than_a_screen() -> None:
    long = {
        f"{name_of(path)}:{function.lineno} {function.name}": lines
        for path in SOURCES
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_files_are_named_for_what_is_in_them() -> None:
    nameless = [name_of(path) for path in EVERYTHING if NAMELESS.fullmatch(path.stem)]
    assert nameless == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name_of(path)
        for path in SOURCES
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_time_files_and_randomness_are_reached_through_runtime() -> None:
    found = [
        f"{name_of(path)}:{call.lineno} {ast.unparse(call.func)}(): use {instead}"
        for path in SOURCES
        if path.relative_to(ENGINE).parts[0] not in OUTSIDE_WORLD
        if path.relative_to(ENGINE).as_posix() not in PROCESS_FILES
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        if (instead := BANNED_CALLS.get(ast.unparse(call.func)))
    ]
    assert found == []


def test_tests_do_not_sleep_but_wait_for_a_condition() -> None:
    """A sleep is allowed only as the pause of a polling loop, or on a simulation's virtual time."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path.parent.name == "simulation":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        polling = {
            id(inner)
            for loop in ast.walk(tree)
            if isinstance(loop, ast.While)
            for inner in ast.walk(loop)
        }
        found += [
            f"{name_of(path)}:{call.lineno}"
            for call in ast.walk(tree)
            if isinstance(call, ast.Call)
            and ast.unparse(call.func) in {"time.sleep", "asyncio.sleep"}
            and id(call) not in polling
            # sleep(0) only lets others run.
            and not (isinstance(call.args[0], ast.Constant) and call.args[0].value == 0)
        ]
    assert found == []


def test_every_key_of_the_configuration_is_read_somewhere() -> None:
    """A key that nothing reads is a promise that nothing keeps."""
    text = "\n".join(path.read_text("utf-8") for path in SOURCES if path.name != "config.py")
    unread = [
        f"{section}.{key}"
        for section, section_type in config.section_types().items()
        for key in section_type.__struct_fields__
        # By the section's name, or by the names under which sections are handed on.
        if not re.search(rf"\b({section}|config|timing)\.{key}\b", text)
    ]
    assert unread == []


def test_imports_go_down_the_floors_only() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    if not linter.exists():
        pytest.skip("import-linter is not installed: `make setup`")
    done = subprocess.run([str(linter)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
