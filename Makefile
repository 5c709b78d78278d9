# Everything a user needs: `make demo` and `make test`; both set up what they use first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TFLITE_VENV := .venv-tflite
STAMP := $(VENV)/.ready
TFLITE_STAMP := $(TFLITE_VENV)/.ready

.PHONY: setup demo test lint campaign-budgets campaign-cifar clean

setup: $(STAMP) $(TFLITE_STAMP)
	@$(BIN)/edgenas doctor --mend --quiet

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "edgenas needs Python 3.11 as '$(PYTHON)': apt-get install python3 python3-venv, or PYTHON=/path/to/python make setup" >&2; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { echo "this Python cannot make environments: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -e '.[search,dev]'
	@touch $@

# The older of the two runtimes wants numpy 1 and so an environment of its own; the tests run the agent in it.
$(TFLITE_STAMP): pyproject.toml
	$(PYTHON) -m venv $(TFLITE_VENV)
	$(TFLITE_VENV)/bin/python -m pip install --quiet 'tflite-runtime==2.14.0' 'numpy<2'
	@touch $@

demo: setup
	$(BIN)/edgenas deploy --board host --data mnist --latency 40%

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Long runs whose figures are recorded in benchmarks/results.
campaign-budgets: setup
	$(BIN)/python benchmarks/deploy_budgets.py --json > benchmarks/results/deploy_budgets.json

campaign-cifar: setup
	$(BIN)/python benchmarks/deploy_cifar.py --json > benchmarks/results/deploy_cifar.json

clean:
	rm -rf $(VENV) $(TFLITE_VENV) .mypy_cache .ruff_cache .pytest_cache dist build
