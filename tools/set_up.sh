#!/bin/sh
# Everything `make` needs, from a fresh clone: a Python, a compiler and headers, .venv and what is
# in it. Installs missing system packages when it may (root on Debian/Ubuntu), else names them.
#
#   tools/set_up.sh             .venv with Trilith and its development tools, editable
#   tools/set_up.sh clients     the clients that the conformance tests drive
set -eu
cd "$(dirname "$0")/.."
VENV=.venv

fail() {
    echo "trilith set-up: $*" >&2
    exit 1
}

may_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

# install PURPOSE PACKAGE...
install() {
    purpose=$1
    shift
    may_install || fail "$purpose is missing. Debian/Ubuntu: sudo apt-get install $*"
    echo "trilith set-up: $purpose is missing; installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 && return
    # The package lists may be old or absent.
    apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends "$@" >/dev/null ||
        fail "could not install $* for $purpose"
}

is_recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if is_recent "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_environment() {
    if [ -x $VENV/bin/python ] && is_recent $VENV/bin/python && $VENV/bin/python -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python) || {
        install "Python 3.11 or newer" python3 python3-venv
        python=$(find_python) || fail "needs Python 3.11 or newer; this system's is older. Set PYTHON=/path/to/python3.11"
    }
    echo "trilith set-up: making $VENV with $python"
    if ! "$python" -m venv --clear $VENV >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        install "Python's venv module" "python$version-venv"
        "$python" -m venv --clear $VENV
    fi
}

# compiles SOURCE FLAG...
compiles() {
    source=$1
    shift
    printf '%s\n' "$source" | ${CC:-cc} "$@" -x c -fsyntax-only - >/dev/null 2>&1
}

require_build_tools() {
    command -v "${CC:-cc}" >/dev/null 2>&1 || install "a C compiler" gcc libc6-dev
    compiles '#include <stdlib.h>' || install "the C library's headers" libc6-dev
    include=$($VENV/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    version=$($VENV/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    compiles '#include <Python.h>' "-I$include" ||
        install "Python.h (the headers of Python $version)" "python$version-dev"
    compiles '#include <openssl/evp.h>' || install "openssl/evp.h (OpenSSL's headers)" libssl-dev
}

install_packages() {
    echo "trilith set-up: installing Python packages and building the native core"
    $VENV/bin/python -m pip install -q --disable-pip-version-check \
        'setuptools>=77' 'cython>=3.1' wheel ||
        fail "pip cannot install the build tools: is a package index reachable?"
    $VENV/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[dev]' ||
        fail "pip cannot install Trilith's dependencies or build it; its message is above"
}

install_clients() {
    for client in aws:awscli rclone:rclone restic:restic s3cmd:s3cmd; do
        command -v "${client%%:*}" >/dev/null 2>&1 ||
            install "the S3 client ${client%%:*}" "${client##*:}"
    done
    $VENV/bin/python -m pip install -q --disable-pip-version-check 'pynamodb>=6' ||
        fail "pip cannot install pynamodb"
    command -v npm >/dev/null 2>&1 || install "npm, for the JavaScript SDK" nodejs npm
    # Tests that need it are skipped where it cannot be installed (an old Node.js).
    npm install --silent --prefix build/clients @aws-sdk/client-dynamodb @aws-sdk/lib-dynamodb \
        >/dev/null 2>&1 || echo "trilith set-up: npm cannot install the JavaScript SDK; left out" >&2
}

case "${1:-all}" in
all)
    make_environment
    require_build_tools
    install_packages
    ;;
clients) install_clients ;;
*) fail "there is no part $1" ;;
esac
