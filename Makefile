# Every target builds its own virtual environment in .venv: nothing else has to be set up.
PYTHON ?= python3
BIN := .venv/bin
PORT := 1053

.PHONY: help run ask dev-cluster compiled test-compiled bench-compiled test static check format bench clean

help:
	@echo "make run      serve examples/Corefile on port $(PORT): no cluster, no root"
	@echo "make ask      ask the running server (NAME=... TYPE=...)"
	@echo "make dev-cluster  a Kubernetes API to kubectl apply to (MANIFESTS=... API_PORT=...)"
	@echo "make test     run the tests"
	@echo "make compiled  copy the project to build/compiled with its hot modules compiled"
	@echo "make test-compiled  run the tests there"
	@echo "make bench-compiled  measure that copy (BENCH=... as below)"
	@echo "make check    formatter, ruff, mypy, import contracts, tests"
	@echo "make format   format the code"
	@echo "make bench    measure (BENCH='--quick', BENCH='mix unique --rounds 5', BENCH=--help)"
	@echo "make clean    remove everything that make built"

# The stamp makes the environment anew when the dependencies change.
.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "k8sdns needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: .venv/installed
	@echo "Serving examples/Corefile. In another terminal, ask a first question:"
	@echo "    dig @127.0.0.1 -p $(PORT) shop.bakery.svc.cluster.local"
	@echo "or, without dig:"
	@echo "    make ask NAME=shop.bakery.svc.cluster.local"
	@$(BIN)/twistd -n --pidfile= k8sdns --corefile examples/Corefile

NAME ?= shop.bakery.svc.cluster.local
TYPE ?= A
ask: .venv/installed
	@$(BIN)/python examples/ask.py $(NAME) $(TYPE) $(PORT)

MANIFESTS ?= examples/cluster
API_PORT ?= 6443
dev-cluster: .venv/installed
	@$(BIN)/python -m k8sdns.testing.apiserver --port $(API_PORT) --manifests $(MANIFESTS) \
	  --simulate --kubeconfig dev-cluster.kubeconfig

# The hot modules need a C compiler and Python's headers; the rest of the tests is the same.
compiled: .venv/installed
	$(BIN)/python native/compile.py build/compiled

test-compiled: compiled
	cd build/compiled && PYTHONPATH=$$PWD ../../$(BIN)/python -m pytest -q

bench-compiled: compiled
	cd build/compiled && PYTHONPATH=$$PWD ../../$(BIN)/python benchmarks $(BENCH)

test: .venv/installed
	$(BIN)/python -m pytest -q

static: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# TESTED=yes leaves out the tests, for whoever has just run them.
check: static
	@test -n "$(TESTED)" || $(MAKE) --no-print-directory test

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed
	$(BIN)/python benchmarks $(BENCH)
	@test -n "$(BENCH)" || $(BIN)/python benchmarks/cluster.py

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name dropin.cache -delete
