# Every target sets up what it needs: uv (by pip when missing) and the environment of uv.lock.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help environment demo test test-fast check docs claims validation settings review-screenshots bench

export UV_COMPILE_BYTECODE = 1
export MPLBACKEND = Agg
export MLFLOW_DISABLE_TELEMETRY = true
# One thread a numerical kernel: results and times do not depend on the machine's load.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
# Compiled tests are kept, for the other worker and the next run.
unexport PYTHONDONTWRITEBYTECODE

UV := $(shell command -v uv 2>/dev/null || echo python3 -m uv)
RUN := $(UV) run --frozen --no-sync
SETTINGS := ici adc hcc sclc
# On two cores; tests that share what takes long to make run in one process (tests/conftest.py).
PYTEST := $(RUN) pytest -n 2

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

environment:  ## Make .venv from uv.lock
	@$(UV) --version >/dev/null 2>&1 \
	  || PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet uv \
	  || PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --break-system-packages uv
	@$(UV) sync --frozen --quiet

demo: environment  ## Simulate cohorts, train, score, report
	$(RUN) oncoresist demo

test: environment  ## All tests; those on real cohorts and in Chromium skip where these are absent
	$(PYTEST) -m "not real_data and not slow"
	$(PYTEST) -m "real_data or slow"

test-fast: environment  ## The tests that train little and need no real cohort
	$(PYTEST) -m "not real_data and not slow"

check: environment  ## Lint, format, types, floors, lock file
	$(UV) lock --check --quiet
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

docs: environment  ## Write the generated pages of docs/
	$(RUN) python -m pipelines.docs

claims: environment  ## Hold the signs of the reviews against the real cohorts; write docs/claims.md
	$(RUN) python -m pipelines.claims

validation: environment  ## Train on the real cohorts with the permutation null; write docs/validation.md
	$(RUN) oncoresist train conf/experiments/ici.yaml --set validation.permutations=20
	$(RUN) oncoresist report models:/oncoresist-ici/latest --output docs/validation.md

settings: environment  ## Train the four settings on the real cohorts; write docs/adc.md, hcc.md, sclc.md
	$(MAKE) --no-print-directory -j2 --output-sync=target $(SETTINGS:%=train-%)
	$(MAKE) --no-print-directory -j2 $(patsubst %,page-%,$(filter-out ici,$(SETTINGS)))

# Two at the same time: each has stretches that keep one core busy alone.
train-%:
	$(RUN) oncoresist train conf/experiments/$*.yaml

page-%:
	$(RUN) oncoresist report models:/oncoresist-$*/latest --output docs/$*.md

review-screenshots: environment  ## Walk through the store in use as docs/review.md says; its pictures
	ONCORESIST_REVIEW_STORE=$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlruns/mlflow.db} \
	  ONCORESIST_REVIEW_SCREENSHOTS=docs/images/review $(RUN) pytest tests/pipelines/test_review.py

bench: environment  ## Measure speed against reading the files, scanpy and native TreeSHAP
	$(RUN) python -m benchmarks.scale
	$(RUN) python -m benchmarks.features
	$(RUN) python -m benchmarks.explain
	$(RUN) python -m benchmarks.cells 200000 1000000
