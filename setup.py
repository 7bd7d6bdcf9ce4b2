r"""Builds the native core; everything else about the project is in pyproject.toml.

    python setup.py build_ext --inplace          the optimised modules, beside their sources
    pip install -e . --no-build-isolation        the same, and the import paths

A debug build (Cython's bounds, wraparound, overflow and None checks, -O1 -g) belongs in a
directory of its own, so that it never mixes with the optimised one; run the tests against it by
putting that directory first:

    TRILITH_NATIVE_DEBUG=1 python setup.py build --build-base build/debug
    PYTHONPATH="$(echo build/debug/lib.*)" python -m pytest tests/native

TRILITH_NATIVE_DEBUG=asan adds AddressSanitizer and UBSan, again with a directory of its own:

    TRILITH_NATIVE_DEBUG=asan python setup.py build --build-base build/asan
    LD_PRELOAD="$(gcc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \
        PYTHONMALLOC=malloc PYTHONPATH="$(echo build/asan/lib.*)" python -m pytest tests/native

(PYTHONMALLOC=malloc: it cannot see past the end of bytes that pymalloc packed together.)
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

NATIVE = "native/trilith_native"
MODULES = {  # name -> libraries it links
    "chunker": [],
    "codec": [],
    "convergent": ["crypto"],
    "crc": [],
    "http_request": [],
    "huge_arenas": [],
    "record": [],
    "ring": [],
    "sigv4": ["crypto"],
    "synced_file": [],
}
DEBUG = os.environ.get("TRILITH_NATIVE_DEBUG", "")
BUILD_KIND = {"": "release", "0": "release", "asan": "asan"}.get(DEBUG, "debug")


class BuildNative(build_ext):
    """Names what is missing on this machine before the compiler says it less clearly."""

    def build_extensions(self) -> None:
        self.require_tools()
        super().build_extensions()

    def require_tools(self) -> None:
        command = getattr(self.compiler, "compiler_so", None) or ["cc"]
        if shutil.which(command[0]) is None:
            sys.exit(
                f"trilith: no C compiler ({command[0]!r} is not on the PATH). "
                "Debian/Ubuntu: apt-get install build-essential"
            )
        version = sysconfig.get_python_version()
        self.require_header(
            "Python.h",
            f"the headers of Python {version}. Debian/Ubuntu: apt-get install python{version}-dev",
        )
        self.require_header(
            "openssl/evp.h",
            "the headers of OpenSSL's libcrypto. Debian/Ubuntu: apt-get install libssl-dev",
        )

    def require_header(self, header: str, remedy: str) -> None:
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "probe.c")
            source.write_text(f"#include <{header}>\n", encoding="ascii")
            try:
                # The compiler object already knows the include directories of this interpreter.
                self.compiler.compile([str(source)], output_dir=directory)
            except CompileError as error:
                sys.exit(f"trilith: cannot compile against <{header}>: missing {remedy} ({error})")


def compile_arguments() -> tuple[list[str], list[str]]:
    if BUILD_KIND == "release":
        return ["-O3", "-fno-plt"], []
    flags = ["-O1", "-g", "-fno-omit-frame-pointer", "-UNDEBUG"]
    if BUILD_KIND == "asan":
        sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
        return flags + sanitizers, sanitizers
    return flags, []


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    debug = BUILD_KIND != "release"
    compile_args, link_args = compile_arguments()
    modules = [
        Extension(
            f"trilith_native.{name}",
            [f"{NATIVE}/{name}.pyx"],
            include_dirs=[NATIVE],
            libraries=libraries,
            depends=[str(header) for header in sorted(Path(NATIVE).glob("*.h"))],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
        for name, libraries in MODULES.items()
        if Path(NATIVE, f"{name}.pyx").exists()
    ]
    result: list[Extension] = cythonize(
        modules,
        build_dir=f"build/cython-{BUILD_KIND}",  # directives differ, so the C files must not mix
        include_path=["native"],
        compiler_directives={
            "language_level": 3,
            "boundscheck": debug,
            "wraparound": debug,
            "overflowcheck": debug,
            "nonecheck": debug,
            "initializedcheck": debug,
            "cdivision": not debug,
            "embedsignature": True,
            "warn.unused": True,
        },
    )
    return result


setup(
    package_dir={"": "engine", "trilith_native": NATIVE},
    packages=[*find_packages("engine"), "trilith_native"],
    package_data={
        "": ["py.typed", "*.pyi"],
        "trilith_native": ["py.typed", "*.pyi", "*.pxd", "*.h"],
    },
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildNative},
    zip_safe=False,
)
