import subprocess
import sys
from pathlib import Path

import trilith_native

HERE = Path(__file__).parent
NATIVE = HERE.parent.parent / "native"
MODULES = sorted(path.stem for path in (NATIVE / "trilith_native").glob("*.pyx"))


def test_every_module_has_a_stub_and_a_test() -> None:
    assert MODULES, "no modules found"
    for module in MODULES:
        assert (NATIVE / "trilith_native" / f"{module}.pyi").exists(), module
        assert (HERE / f"test_{module}.py").exists(), module


def test_the_stubs_agree_with_the_compiled_modules() -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy.stubtest",
            "--concise",
            "--allowlist",
            str(HERE / "stubtest_allowlist.txt"),
            "--ignore-unused-allowlist",
            *(f"trilith_native.{module}" for module in MODULES),
        ],
        cwd=Path(trilith_native.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_cdef_function_says_what_an_error_looks_like() -> None:
    for module in MODULES:
        source = (NATIVE / "trilith_native" / f"{module}.pyx").read_text()
        for start in _cdef_functions(source):
            declaration = source[start : source.index(":\n", start)]
            # A function that returns a Python object has NULL as its error value anyway.
            returns_object = declaration.split()[1] in {"bytes", "list"} or " object " in (
                declaration.split("(")[0] + " "
            )
            assert returns_object or "noexcept" in declaration or "except" in declaration, (
                f"{module}: {declaration}"
            )


def _cdef_functions(source: str) -> list[int]:
    found, at = [], 0
    for line in source.splitlines(keepends=True):
        text = line.strip()
        is_function = text.startswith("cdef ") and "(" in text and "=" not in text.split("(")[0]
        if is_function and not text.startswith(("cdef extern", "cdef class")):
            found.append(at)
        at += len(line)
    return found
