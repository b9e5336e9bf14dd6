# Everything needs only Python 3.11 or newer. What is installed goes into .venv; data goes into .data.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run local entra scale test bench drill check fix ci lock screenshots clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/run.installed  ## serve the chat on http://127.0.0.1:8000 (HOST, PORT to change)
	@exec $(BIN)/python manage.py serve

local: .venv/local.installed  ## the same with a true model on this machine (LOCAL_MODEL=/path/to.gguf for another)
	@exec $(BIN)/python manage.py serve --local

entra: .venv/entra.installed  ## install what signs in with Microsoft Entra ID, for `make run`

scale: .venv/scale.installed  ## install what speaks to PostgreSQL, Redis and S3, for `make run`

test: .venv/all.installed  ## run all tests, browser journeys included (ARGS="..." for pytest)
	@.ci/apt chromium redis-server postgresql nginx openssl
	@$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=loadfile --durations=10 $(if $(CI),-p no:cacheprovider) $(ARGS)

bench: .venv/all.installed  ## measure what is promised; prints a table, writes bench.json
	@.ci/apt redis-server postgresql
	@$(BIN)/python -m tests.bench $(ARGS)

drill: .venv/all.installed  ## kill the server a hundred times under load, and say what was lost (ARGS="--kills 20")
	@$(BIN)/python -m tests.drills $(if $(ARGS),$(ARGS),--kills 100)

check: .venv/all.installed  ## lint, formatting, types, layers, templates, migrations
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djade --check --target-version 5.2 $$(find templates -name '*.html')
	DOTENV=/dev/null $(BIN)/python manage.py makemigrations --check --dry-run

fix: .venv/all.installed  ## repair what can be repaired by a tool
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/djade --target-version 5.2 $$(find templates -name '*.html')

ci: check test  ## what has to pass before a change goes in

lock: .venv/all.installed  ## pin the newest dependencies that pyproject.toml allows
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		pyproject.toml -o .lock/run.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--extra local -c .lock/run.txt pyproject.toml -o .lock/local.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--extra entra -c .lock/run.txt pyproject.toml -o .lock/entra.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--extra scale -c .lock/run.txt pyproject.toml -o .lock/scale.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--all-extras -c .lock/run.txt pyproject.toml -o .lock/all.txt

screenshots: .venv/all.installed  ## take the README's pictures anew
	@.ci/apt chromium
	$(BIN)/python -m tests.journeys.screenshots

clean:  ## remove what was installed and cached; data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# A stamp newer than its lock file: nothing to install, so that a second start takes no time.
.venv/%.installed: .lock/%.txt
	@PYTHON="$(PYTHON)" .ci/venv
	@echo "Installing what .lock/$*.txt pins ..."
	@$(BIN)/python -m pip install --quiet --no-input --no-deps --require-hashes -r .lock/$*.txt
	@touch $@
