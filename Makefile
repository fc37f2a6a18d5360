# Every verb builds what it needs. `make setup` is enough to have the environment and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEEDS ?= 2000
ENGINE ?= python
PROTOCOL ?= ibft2
STAMP := $(VENV)/.ready
NATIVE_STAMP := $(VENV)/.native-ready

# Each of the hundreds of processes that the tests start would compile the whole tree anew.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(BIN)/pytest --dist loadgroup --no-loadscope-reorder --durations 10 --durations-min 1
FAST_TESTS := tests/unit tests/vectors tests/property tests/conformance tests/differential tests/mutants
SLOW_TESTS := tests/simulation tests/integration tests/interop tests/siege
PUBLISHED_TESTS := tests/integration/test_published_*.py $(addprefix tests/unit/privacy/test_,manager_config.py tessera_config.py)
# Tests of networks start many processes: more workers than cores make them wait for each other.
SLOW_WORKERS ?= auto

.PHONY: setup native wheels check-native check test test-fast test-slow interop published coverage changelog release conformance fuzz sim mutants siege bench devnet file-index lock format clean
.DEFAULT_GOAL := test

setup: $(STAMP) $(NATIVE_STAMP)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "lacnode needs Python 3.11 or later; found $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "building the environment in $(VENV) (about half a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

# The native execution engine, where there is a Rust toolchain (about a minute). Without one py-evm executes.
$(NATIVE_STAMP): $(STAMP) native/Cargo.toml native/Cargo.lock native/build.py $(wildcard native/src/*.rs)
	@$(BIN)/python native/build.py --optional
	@touch $(NATIVE_STAMP)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The same, and a failure is one: see docs/design/native-engine.md.
native: $(STAMP)
	@$(BIN)/python native/build.py
	@touch $(NATIVE_STAMP)

# A wheel of the native library for CPython 3.11 and later, in dist/. maturin is fetched into an environment of its own.
wheels: release
	@$(PYTHON) -m venv $(VENV)-wheels
	@$(VENV)-wheels/bin/python -m pip install --quiet --disable-pip-version-check maturin==1.16.0
	@$(VENV)-wheels/bin/maturin build --release --locked --manifest-path native/Cargo.toml --out dist
	@rm -rf $(VENV)-wheels

check-native:
	cd native && cargo fmt --check && cargo clippy --locked --release --all-targets -- -D warnings && cargo test --locked --release

test: test-fast test-slow

# The tests that start no network of processes.
test-fast: setup
	$(PYTEST) -n auto $(FAST_TESTS)

test-slow: setup
	$(PYTEST) -n $(SLOW_WORKERS) $(SLOW_TESTS)

# Clients and nodes of other projects: see docs/spec/interop.md for each by itself.
interop: setup
	$(PYTEST) -n $(SLOW_WORKERS) -rs tests/interop

# The configuration files that public networks publish, fetched into FOLDER where they are not there yet.
published: setup
	@test -n "$(FOLDER)" || { echo "name the folder of the repositories: make published FOLDER=FOLDER"; exit 1; }
	@$(BIN)/python -m tools.published_repositories $(FOLDER)
	PUBLISHED_CONFIGURATIONS=$(abspath $(FOLDER)) $(PYTEST) -n $(SLOW_WORKERS) -rs $(PUBLISHED_TESTS)

# What tests without a network run of the packages that must not break, with a least share of lines and branches for each.
# The ports, the TLS and the databases of managers are tried among the slow tests.
MANAGER_TESTS := $(addprefix tests/integration/test_privacy_,hostile.py store.py tls.py enclave_tls.py)

coverage: setup
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q tests/unit tests/vectors tests/property $(MANAGER_TESTS)
	@$(BIN)/coverage report --fail-under 95 --include 'lacnode/consensus/*'
	@$(BIN)/coverage report --fail-under 90 --include 'lacnode/permissioning/*'
	@$(BIN)/coverage report --fail-under 90 --include 'lacnode/privacy/*'
	@$(BIN)/coverage report --fail-under 90 --include 'lacnode/storage/*'

# CHANGELOG.md takes the fragments of changes/ for this version.
changelog: setup
	$(BIN)/towncrier build --version $$($(BIN)/python -c 'import lacnode; print(lacnode.__version__)')

# A wheel and a source distribution in dist/, the wheel tried in an environment of its own.
release: setup
	@$(PYTHON) tools/release.py

# SUITES is a folder with official state tests, one folder a suite: see docs/spec/conformance.md. ENGINE is python or native.
conformance: setup
	@test -n "$(SUITES)" || { echo "name the folder of the suites: make conformance SUITES=FOLDER"; exit 1; }
	@$(BIN)/python -m tests.conformance --engine $(ENGINE) $(SUITES)

# Random blocks and calls on both engines: make fuzz SEEDS=100000. Needs `make native`.
fuzz: setup
	@$(BIN)/python -m tests.differential --seeds $(SEEDS)

# PROTOCOL is ibft2, qbft, or migration from the one to the other.
sim: setup
	$(BIN)/python -m tests.simulation --protocol $(PROTOCOL) --seeds $(SEEDS)

# MUTANTS names some of `.venv/bin/python -m tests.mutants --list`; all without it.
mutants: setup
	@$(BIN)/python -m tests.mutants $(MUTANTS)

siege: setup
	$(BIN)/python -m tests.siege $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks

devnet: setup
	$(BIN)/lacnode devnet

# docs/developers/files.md says what the docstring of each file says first.
file-index: setup
	$(BIN)/python -m tools.file_index

lock: pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --extra dev --generate-hashes --no-emit-index-url \
		--no-emit-trusted-host --no-emit-find-links --output-file requirements.lock pyproject.toml
	$(BIN)/python -m tools.run_requirements

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
