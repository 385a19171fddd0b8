# `make demo` and `make test` do everything on a machine that has Python 3.11, make and a package index.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal -q

# What `make quick` leaves out, besides tests marked slow or statistical: attacks on this package (leaks, hostile, conformance)
# and files that compose hundreds of plans or try whole tables.
LONG := tests/leaks tests/hostile tests/conformance tests/audit/test_attack.py tests/privacy/test_accountant.py \
	tests/privacy/test_distinguishing.py tests/privacy/test_plan_totals.py tests/privacy/test_ledger_content.py
QUICK := -m "not slow and not statistical" $(LONG:%=--ignore=%)

.PHONY: help demo test thorough quick lint docs coverage matrix clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(INSTALLED)  ## the whole job on invented patients; says where the report lies
	$(BIN)/privsynth demo hospital --out demo

test: $(INSTALLED) lint docs  ## style, types, documents and all tests, slow ones too: what CI runs
	$(PYTEST)

thorough: $(INSTALLED)  ## all tests with the full number of random examples; before a release
	PRIVSYNTH_EXAMPLES=full $(PYTEST)

quick: $(INSTALLED)  ## the fast tests, in about two minutes; says in CONTRIBUTING.md what it leaves out
	$(PYTEST) $(QUICK)

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)  ## guides and API reference into site/; a broken link fails
	$(BIN)/mkdocs build --strict

coverage: $(INSTALLED)  ## lines that all tests but the slow ones run; below the floor in pyproject.toml it fails
	$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered

matrix:  ## the fast tests on each Python here, with the oldest and the newest dependencies; needs long and gigabytes
	.ci/matrix $(QUICK)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	touch $@

clean:  ## removes what the others made
	rm -rf .venv .matrix demo site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
