# One command per need; `make help` lists them. Everything runs in .venv, made from uv.lock.
.DEFAULT_GOAL := help
PYTHON ?= python3
# uv is taken from the PATH, else brought along into .uv (not installed anywhere else).
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := .venv/bin
STAMP := .venv/.mendloop-stamp

.PHONY: help setup demo test check format bench-quick bench clean

help: ## Show the commands.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Make the locked environment in .venv.

$(STAMP): pyproject.toml uv.lock | $(UV)
	@$(UV) sync --frozen --quiet
	@touch $@

.uv/bin/uv:
	@echo "uv is not on the PATH: bringing it into .uv"
	@$(PYTHON) -m venv .uv 2>/dev/null && .uv/bin/python -m pip install --quiet uv \
	  || { rm -rf .uv; $(PYTHON) -m pip install --quiet --target .uv uv; } \
	  || { echo "make: cannot bring uv: python3 needs venv or pip (Debian: apt-get install python3-venv)" >&2; exit 1; }

demo: $(STAMP) ## Close the loop on real flights, on this machine.
	@$(RUN)/mendloop demo

test: $(STAMP) ## Run the tests, a file at a time on every core.
# In the order of the folders: the files with real processes hold few tests, and would come last.
	@$(RUN)/pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(STAMP) ## Linters, types, import contracts, lock file.
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports --no-logo 2>/dev/null || $(RUN)/lint-imports
	@$(UV) lock --check --quiet

format: $(STAMP) ## Format the code and mend what linters can.
	@$(RUN)/ruff check --fix --quiet .
	@$(RUN)/ruff format --quiet .

BENCHES := canary_harm canary_promotion canary_outage performance_alarms performance_flights \
	drift_alarms drift_power drift_profile drift_sequence drift_speed feeds diagnosis \
	guardrails rehearsal fleet fleet_postgres restore

bench-quick: $(STAMP) ## Measure the claims about evidence, each in under a minute.
	@failed=0; for bench in $(BENCHES); do echo "== $$bench"; \
	  $(RUN)/python -m benchmarks.$$bench --quick || failed=1; done; exit $$failed

bench: $(STAMP) ## Measure all claims in full, beside the peers (brings them); takes a while.
	@$(UV) sync --frozen --quiet --group bench
	@failed=0; for bench in $(BENCHES) backtest journal journal_postgres journal_tampering journal_kills takeover serving_throughput; do echo "== $$bench"; \
	  $(RUN)/python -m benchmarks.$$bench || failed=1; done; exit $$failed

infra-tools: | $(UV) ## Bring what checks infra/ (Helm, hadolint, schemas) into .venv-infra.
	@UV_PROJECT_ENVIRONMENT=.venv-infra $(UV) sync --frozen --quiet --only-group infra --no-install-project

infra-checkov: | $(UV) ## Bring checkov into .venv-checkov: it pins too much to be locked with others.
	@test -x .venv-checkov/bin/checkov || { $(UV) venv --quiet --allow-existing .venv-checkov \
	  && $(UV) pip install --quiet --python .venv-checkov/bin/python checkov==3.3.30; }

infra-render: infra-tools ## Make anew what is made: the chart's copies, the kustomize base.
	@.venv-infra/bin/python .ci/render_infra.py

clean: ## Remove the environment and caches; leaves .mendloop (the demo's home) alone.
	@rm -rf .venv .venv-infra .venv-checkov .uv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
