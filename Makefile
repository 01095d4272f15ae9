# What a contributor does, each in one word. `make setup` is done by the others where it is due.

PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip install -qq --no-deps --disable-pip-version-check

.PHONY: help setup demo test test-slow check docs notebooks lock clean

help:
	@echo "make demo       train, prune, export and judge a policy; writes runs/demo/"
	@echo "make test       the tests, slow ones left out"
	@echo "make test-slow  the slow ones: trainings, README, packages"
	@echo "make check      lint, format, types"
	@echo "make docs       the documentation as a site, in build/site/; fails on any warning"
	@echo "make notebooks  colab/ executed from top to bottom, outputs kept: some minutes"
	@echo "make setup      .venv with the locked packages; PYTHON=python3.12 chooses another Python"
	@echo "make lock       requirements/lock.txt anew (UPGRADE=--upgrade takes the newest versions)"
	@echo "make clean      removes .venv, runs/ and caches"

setup: $(STAMP)

# Once for each lock. setup.cfg may name new console scripts or packages.
$(STAMP): requirements/lock.txt setup.cfg setup.py
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not installed. Name a Python 3.10, 3.11 or 3.12: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "Setting up .venv: downloads about 1 GB and takes a few minutes, once."
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(PIP) --requirement requirements/lock.txt
	@$(PIP) --no-build-isolation --use-pep517 --editable .
	@touch $@

demo: setup
	$(BIN)/tfdrlprune demo --out runs/demo --force

# Two processes, each with whole files: some files share what takes long to make.
test: setup
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# After a change in colab/, or of what its outputs show.
notebooks: setup
	$(BIN)/python colab/execute.py

# The variable silences a notice of mkdocs-material about its own future.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "Open build/site/index.html."

# uv resolves for all Pythons at once, which pip cannot. What overrides.txt rules out, and Pythons
# that we don't support, need no line.
lock:
	uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
	  --no-emit-index-url $(UPGRADE) --override requirements/overrides.txt \
	  --output-file requirements/lock.txt requirements/lock.in
	sed -i -e "/'never'/d" -e "/>= '3\.14'/d" -e "s/ ; python_full_version < '3\.14'$$//" \
	  -e '1i # Made by `make lock`; installed by `make setup` with --no-deps. Python 3.10 to 3.12.' \
	  requirements/lock.txt

clean:
	rm -rf .venv runs build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
