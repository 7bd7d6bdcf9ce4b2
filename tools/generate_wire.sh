#!/bin/sh
# Python code of proto/ with the oldest generator that pyproject.toml's protobuf allows: generated
# code refuses an older runtime than its own. In an environment of its own, since the generator
# wants an older protobuf than the engine runs on.
#
#   tools/generate_wire.sh [ROOT]      writes ROOT/trilith/wire/v1 (default: engine)
#
# Status 75: the generator is not installed and cannot be.
set -eu
cd "$(dirname "$0")/.."
ROOT=${1:-engine}
VENV=build/proto-venv
GENERATOR=grpcio-tools==1.72.2 # protobuf 6.30

if [ ! -e "$VENV/.$GENERATOR" ]; then
    .venv/bin/python -m venv --clear $VENV
    $VENV/bin/python -m pip install -q --disable-pip-version-check "$GENERATOR" || exit 75
    touch "$VENV/.$GENERATOR"
fi
mkdir -p "$ROOT"
$VENV/bin/python -m grpc_tools.protoc -Iproto --python_out="$ROOT" --pyi_out="$ROOT" \
    proto/trilith/wire/v1/*.proto
