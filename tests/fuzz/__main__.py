"""`make fuzz`: every target for a while, and the native ones once more under ASan and UBSan.

    python -m tests.fuzz [--seconds N] [TARGET...]

`--seconds` is for all targets together. One process at a time. A finding's input is kept in
build/fuzz/findings, and the command that runs it again is printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.session import FINDINGS, load_targets
from tests.fuzz.target import Target

SANITIZED = Path("build/asan")
SECONDS_MIN = 1


def sanitized_environment() -> dict[str, str] | None:
    """For a process with the native core of `build/asan`; None where that was not built."""
    built = sorted(SANITIZED.glob("lib.*"))
    if not built:
        return None
    compiler = os.environ.get("CC", "gcc")
    runtime = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return os.environ | {
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter keeps what it interns
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # pymalloc packs objects together, where ASan cannot see
        # The build holds a copy of the engine too, which may be older than the one at hand.
        "PYTHONPATH": f"{Path('engine').resolve()}:{built[0].resolve()}",
    }


def run(mode: str, chosen: Target, *arguments: str, environment: dict[str, str] | None) -> bool:
    """Whether nothing was found. Prints what was."""
    command = [sys.executable, "-m", "tests.fuzz.session", mode, chosen.name, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    if done.returncode == 0:
        return True
    print(f"--- {chosen.name} ({mode}) ---", *done.stdout.splitlines(), sep="\n")
    print(*done.stderr.splitlines()[-60:], sep="\n")
    print(f"again: {sys.executable} -m tests.fuzz.session replay {chosen.name} FILE")
    print(f"with the file of {FINDINGS / chosen.name} that is named above")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="the same run each time; 0: a new one")
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    targets = load_targets()
    chosen = [targets[name] for name in options.targets] or list(targets.values())
    seconds = str(max(SECONDS_MIN, options.seconds // len(chosen)))
    sanitized = sanitized_environment()
    if sanitized is None:
        print("the sanitizer build is missing: native targets run without ASan and UBSan")
    failed = []
    for one in chosen:
        ok = run("fuzz", one, seconds, str(options.seed), environment=None)
        if one.native and sanitized is not None:
            ok = run("replay", one, environment=sanitized) and ok
        print(f"{'ok    ' if ok else 'FAILED'} {one.name}", flush=True)
        if not ok:
            failed.append(one.name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
