# What people and CI call. Each target sets up what it needs, once, and says what it does.
PYTHON ?= python3
export PYTHON
ON_POSTGRES = $(addprefix tests/api/test_,$(addsuffix .py,\
	recorder retention indexes nul consumers notebook native_events admin doors adoption))

.PHONY: run test test-postgres test-cluster lint bench bench-cluster torture lock vendor migrations

run: ## Set up everything and serve
	@.setup/setup.sh run
	@exec .venv/bin/python manage.py workbench

test: ## Set up everything and run all tests; ARGS goes to pytest
	@.setup/setup.sh test
	@node --test tests/js/*.test.mjs
	@WORKBENCH_DATA_DIR=$$(mktemp -d) .venv/bin/python -m pytest $(ARGS)

test-postgres: ## Run the tests for which the database matters on a PostgreSQL of their own
	@.setup/setup.sh test
	@WORKBENCH_DATA_DIR=$$(mktemp -d) .venv/bin/python -m pytest -p tests.on_postgres $(or $(ARGS),$(ON_POSTGRES))

test-cluster: ## The tests with PostgreSQL, Redis and a Ray cluster around them; ARGS goes to pytest
	@.setup/setup.sh test
	@.venv/bin/python -m tests.cluster $(ARGS)

lint: ## Style, types, settings, missing migrations
	@.setup/setup.sh lint
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	WORKBENCH_DATA_DIR=$$(mktemp -d) .venv/bin/python manage.py makemigrations --check --dry-run

bench: ## Measure, as ratios against raw kernels, beside Jupyter Server
	@.setup/setup.sh bench
	@.venv/bin/python -m tests.bench

bench-cluster: ## Measure sessions and executions through Ray against the local engine
	@.setup/setup.sh test
	@.venv/bin/python -m tests.cluster.bench

torture: ## Break what can be broken, in 300 rounds, and write docs/reliability.md; ARGS=--rounds N
	@.setup/setup.sh test
	@.venv/bin/python -m tests.torture --report docs/reliability.md $(ARGS)

lock: ## Resolve the dependencies anew
	@.setup/lock.sh

vendor: ## Make the pages' third-party parts anew (static/vendor/); ARGS=--update takes newer versions
	@.setup/vendor.sh $(ARGS)

migrations: ## Write missing migrations
	@WORKBENCH_DATA_DIR=$$(mktemp -d) .venv/bin/python manage.py makemigrations
