# `make demo` and `make test` do everything on a machine that has Python 3.11, make and a package index.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint clean

demo: $(INSTALLED)  ## the whole job on invented patients; says where the report lies
	$(BIN)/privsynth demo hospital --out demo

test: $(INSTALLED) lint  ## style, types and all tests, slow ones too
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

clean:
	rm -rf .venv demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
