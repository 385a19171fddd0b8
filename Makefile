# `make demo` and `make test` do everything on a machine that has Python 3.11, make and a package index.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal -q

# What `make quick` leaves out, besides tests marked slow or statistical: each runs other tests again, replays whole fits,
# or composes hundreds of plans.
LONG := tests/leaks tests/audit/test_attack.py tests/conformance/test_replay.py tests/privacy/test_accountant.py \
	tests/privacy/test_distinguishing.py tests/privacy/test_plan_totals.py
QUICK := -m "not slow and not statistical" $(LONG:%=--ignore=%)

.PHONY: help demo test quick lint docs coverage matrix clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(INSTALLED)  ## the whole job on invented patients; says where the report lies
	$(BIN)/privsynth demo hospital --out demo

test: $(INSTALLED) lint docs  ## style, types, documents and all tests, slow ones too: what CI runs
	$(PYTEST)

quick: $(INSTALLED)  ## the fast tests, under two minutes; leaves out what is slow, statistical, or runs other tests again
	$(PYTEST) $(QUICK)

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
#	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)  ## guides and API reference into site/; a broken link fails
	$(BIN)/mkdocs build --strict

coverage: $(INSTALLED)  ## lines that the fast tests run; below the floor in pyproject.toml it fails
	$(PYTEST) $(QUICK) --cov --cov-report=term:skip-covered

matrix:  ## the fast tests on each Python here, with the oldest and the newest dependencies; needs long and gigabytes
	.ci/matrix $(QUICK)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	touch $@

clean:  ## removes what the others made
	rm -rf .venv .matrix demo site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
