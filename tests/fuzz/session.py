"""One target in one process: under atheris when there is one, else its corpus only.

    python -m tests.fuzz.session fuzz TARGET SECONDS     exits with 0 when nothing was found
    python -m tests.fuzz.session replay TARGET [FILE...] these files; by default all that is known

What atheris finds interesting is kept in build/fuzz/known, so that the next run goes on from there,
and so that a replay under the sanitizers sees it (gcc's runtime leaves no room for libFuzzer's
coverage, so the two cannot be one run). The coverage is of our Python modules, of the targets, and
of the oracles: what a native parser branches on, its oracle branches on too.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

from tests.fuzz.target import TARGETS, Target

FINDINGS = Path("build/fuzz/findings")
KNOWN = Path("build/fuzz/known")
# Of libFuzzer: an input that takes longer, or a process that grows beyond this, is a finding.
INPUT_SECONDS_MAX = 30
SEEDED_RUNS = 1000
MEMORY_MIB_MAX = 2048
REPLAYED_MAX = 300


def load_targets(only: str = "") -> dict[str, Target]:
    """Every target, by name. With `only`, the module that has it: instrumenting takes seconds."""
    from tests.fuzz import targets

    for module in pkgutil.iter_modules(targets.__path__):
        source = Path(targets.__path__[0], f"{module.name}.py").read_text("utf-8")
        if f"def {only}" in source:
            importlib.import_module(f"{targets.__name__}.{module.name}")
    return TARGETS


def known(chosen: Target) -> list[Path]:
    """The corpus, and the newest of what earlier runs here found."""
    kept = KNOWN / chosen.name
    found = sorted(kept.iterdir(), key=lambda file: file.stat().st_mtime) if kept.is_dir() else []
    return chosen.seeds() + found[-REPLAYED_MAX:]


def replay(chosen: Target, files: list[Path]) -> None:
    """Raises what the target raises, naming the file."""
    for file in files:
        try:
            chosen.check(file.read_bytes())
        except BaseException as error:
            error.add_note(f"input: {file}")
            raise


def _write_words(chosen: Target, directory: str) -> Path:
    """libFuzzer's dictionary: never empty, which it would refuse."""
    path = Path(directory, "words")
    lines = [
        '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in chosen.words or (b"\0",)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def fuzz(name: str, seconds: int, seed: int) -> None:
    """Returns at once when atheris is not there; else ends the process."""
    try:
        import atheris
    except ImportError:
        chosen = load_targets(name)[name]
        print(f"{name}: atheris is not installed, so only the corpus is run")
        replay(chosen, known(chosen))
        return
    with atheris.instrument_imports(include=["trilith", "tests.fuzz.targets", "tests.native"]):
        chosen = load_targets(name)[name]
    findings, kept = FINDINGS / name, KNOWN / name
    findings.mkdir(parents=True, exist_ok=True)
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        arguments = [
            sys.argv[0],
            str(kept),
            *([str(chosen.corpus)] if chosen.seeds() else []),
            f"-max_total_time={seconds}",
            # With a seed the run is the same each time, as far as the time allows it.
            *([f"-seed={seed}", f"-runs={SEEDED_RUNS}"] if seed else []),
            f"-max_len={chosen.input_bytes_max}",
            f"-timeout={INPUT_SECONDS_MAX}",
            f"-rss_limit_mb={MEMORY_MIB_MAX}",
            f"-dict={_write_words(chosen, directory)}",
            f"-artifact_prefix={findings}/",
            "-use_value_profile=1",
        ]
        atheris.Setup(arguments, chosen.check)
        atheris.Fuzz()


def main() -> None:
    mode, name, *rest = sys.argv[1:]
    if mode == "fuzz":
        fuzz(name, int(rest[0]), int(rest[1]))
    else:
        chosen = load_targets(name)[name]
        replay(chosen, [Path(file) for file in rest] or known(chosen))


if __name__ == "__main__":
    main()
