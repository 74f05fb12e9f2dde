# make demo: install and re-check one claim.  make test: install, then lint, types, floors and all tests.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: install demo test test-cluster test-sinks lint clean

install: .venv/installed

.venv/installed: pyproject.toml CMakeLists.txt $(wildcard native/* native/*/*)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "paribus needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "torch>=2.13,<2.14"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: install
	$(BIN)/paribus check rerope --profile laptop; code=$$?; \
	case $$code in 0|10|11|12) exit 0;; *) exit $$code;; esac

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2

# Ray is large: only this target brings it.
test-cluster: install
	$(BIN)/python -m pip install --quiet --editable ".[ray]"
	$(BIN)/python -m pytest tests/lab/executors tests/tokenizer/test_on_ray.py

# TensorBoard and MLflow bring much that nothing else needs: only this target brings them.
test-sinks: install
	$(BIN)/python -m pip install --quiet --editable ".[tensorboard,mlflow]"
	$(BIN)/python -m pytest tests/lab/sinks

clean:
	rm -rf .venv build paribus-runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
