# Everything a user needs: `make demo` and `make test`; both set up what they use first.
# The newest Python from 3.10 to 3.14 that is here is taken, or PYTHON=/path/to/python (with 3.12 or newer the tests of the
# older runtime are skipped, it exists for 3.11 at most). Without a GPU torch is a CPU build if one can be had;
# TORCH_INDEX=URL names an index that has one. Versions are those that CI tests; CONSTRAINTS=FILE names others, or
# CONSTRAINTS= the newest.
PYTHON ?=
TORCH_INDEX ?=
CONSTRAINTS ?= .ci/constraints.txt
VENV := .venv
BIN := $(VENV)/bin
TFLITE_VENV := .venv-tflite
STAMP := $(VENV)/.ready
TFLITE_STAMP := $(TFLITE_VENV)/.ready
TFLITE_PACKAGES := tflite-runtime==2.14.0 numpy==1.26.4
BENCHMARKS_VENV := .venv-benchmarks
BENCHMARKS_STAMP := $(BENCHMARKS_VENV)/.ready
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
# What builds edgenas for an editable install; pip would load it into isolation by itself, in whatever version there is.
BUILD_TOOLS := editables hatchling

.PHONY: setup setup-tests demo test lint locks campaign-host campaign-budgets campaign-strategies campaign-fuzz campaign-mcu \
  campaign-powercut campaign-serial campaign-ssh campaign-arm64 campaign-latency campaign-profiling \
  campaign-uneven campaign-debian13 campaign-graphs campaign-ssh-matrix campaign-signals campaign-busy \
  campaign-hostile firmware clean

setup: $(STAMP)
	@$(BIN)/edgenas doctor --mend --quiet

# What only the tests need beyond that.
setup-tests: setup $(TFLITE_STAMP)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@python=$$(.ci/choose-python "$(PYTHON)") && echo "setup: $(VENV) with $$python (a minute or two, once)" && \
	  .ci/start-venv $(VENV) "$$python"
	@TORCH_INDEX="$(TORCH_INDEX)" CONSTRAINTS="$(CONSTRAINTS)" .ci/install-torch $(VENV)
	@$(BIN)/python $(PIP_INSTALL) $(BUILD_TOOLS)
	@$(BIN)/python $(PIP_INSTALL) --no-build-isolation -e '.[search,mcu,dev]'
	@mv $(VENV)/.started $@ && touch $@

# The older of the two runtimes wants numpy 1 and so an environment of its own; the tests run the agent in it.
$(TFLITE_STAMP): pyproject.toml $(STAMP)
	@if $(BIN)/python -c "import sys; sys.exit(sys.version_info >= (3, 12))"; then \
	  echo "setup: $(TFLITE_VENV)" && .ci/start-venv $(TFLITE_VENV) $(BIN)/python && \
	  $(TFLITE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(TFLITE_PACKAGES) && mv $(TFLITE_VENV)/.started $@; \
	else \
	  echo "setup: no tflite-runtime for this Python, its tests will be skipped"; \
	  mkdir -p $(TFLITE_VENV) && rm -rf $(TFLITE_VENV)/*; \
	fi
	@touch $@

# Programs that others wrote, to measure against, and what they depend on: not among what edgenas itself uses.
$(BENCHMARKS_STAMP): pyproject.toml $(STAMP)
	@echo "setup: $(BENCHMARKS_VENV)"
	@.ci/start-venv $(BENCHMARKS_VENV) $(BIN)/python
	@$(BENCHMARKS_VENV)/bin/python $(PIP_INSTALL) $(BUILD_TOOLS)
	@$(BENCHMARKS_VENV)/bin/python $(PIP_INSTALL) --no-build-isolation -e '.[benchmarks]'
	@mv $(BENCHMARKS_VENV)/.started $@ && touch $@

demo: setup
	$(BIN)/edgenas deploy --board host --data mnist --latency 40%

# The tests share the processor, the longest first; those that hold this computer to a budget are marked `alone`.
test: setup-tests
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadgroup --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The hashes of what the converter's environment and boards get; whoever changes a version runs this and commits the lists.
locks: setup
	@$(BIN)/python .ci/lock.py

# The images that edgenas ships, out of the C sources: whoever changes those runs this and commits both.
firmware:
	@$(or $(PYTHON),python3) firmware_tools/firmware/make_images.py

# Long runs whose figures are recorded in benchmarks/results.
campaign-host: setup
	$(BIN)/python benchmarks/deploy_host.py --json > benchmarks/results/deploy_host.json

campaign-budgets: setup
	$(BIN)/python benchmarks/deploy_budgets.py --json > benchmarks/results/deploy_budgets.json

campaign-strategies: setup
	@test -d "$(DATA)" || { echo "campaign-strategies: DATA=FOLDER names the class folders to learn" >&2; exit 2; }
	$(BIN)/python benchmarks/deploy_strategies.py --data "$(DATA)" --json > benchmarks/results/deploy_strategies.json

campaign-uneven: setup
	$(BIN)/python benchmarks/uneven_classes.py --json > benchmarks/results/uneven_classes.json

campaign-mcu: setup
	@test -d "$(DATA)" || { echo "campaign-mcu: DATA=FOLDER names the folder with int8 .tflite models" >&2; exit 2; }
	$(BIN)/python benchmarks/mcu_engine.py --data "$(DATA)" --json > benchmarks/results/mcu_engine.json 2> benchmarks/results/mcu_engine.txt

campaign-graphs: setup
	$(BIN)/python benchmarks/graphs.py > benchmarks/results/graphs.txt

campaign-ssh: setup
	$(BIN)/python benchmarks/ssh_link.py --json > benchmarks/results/ssh_link.json 2> benchmarks/results/ssh_link.txt

campaign-ssh-matrix: setup
	$(BIN)/python benchmarks/ssh_matrix.py > benchmarks/results/ssh_matrix.txt

campaign-arm64: setup
	$(BIN)/python benchmarks/arm64_deploy.py --epochs 4 --json > benchmarks/results/arm64_deploy.json 2> benchmarks/results/arm64_deploy.txt

campaign-latency: setup
	@test -d "$(DATA)" || { echo "campaign-latency: DATA=FOLDER names the folder with latencies as .npz files" >&2; exit 2; }
	$(BIN)/python benchmarks/latency_models.py --data "$(DATA)" --json > benchmarks/results/latency_models.json 2> benchmarks/results/latency_models.txt

campaign-profiling: setup
	$(BIN)/python benchmarks/profiling.py --json > benchmarks/results/profiling.json 2> benchmarks/results/profiling.txt

# Nothing else may run meanwhile: it is a busy computer that is compared with a quiet one.
campaign-busy: setup
	$(BIN)/python benchmarks/busy_host.py --json > benchmarks/results/busy_host.json 2> benchmarks/results/busy_host.txt

campaign-fuzz: setup
	$(BIN)/python benchmarks/fuzz.py > benchmarks/results/fuzz.txt

# What strangers may have written and boards may answer, ten minutes each. Stops at the first kind that finds something.
HOSTILE_MINUTES ?= 10
campaign-hostile: setup
	@for what in "answers.py agent" "answers.py firmware" "commands.py boards artifacts checkpoints" profiles.py \
	  "files.py board space inventory artifact data image model"; do \
	  set -- $$what; file=$$1; shift; \
	  $(BIN)/python benchmarks/hostile_$$file --minutes $(HOSTILE_MINUTES) $$@ || exit; \
	done > benchmarks/results/hostile.txt

campaign-powercut: setup
	$(BIN)/python benchmarks/power_cut.py > benchmarks/results/power_cut.txt

campaign-debian13: setup
	$(BIN)/python benchmarks/debian13.py > benchmarks/results/debian13.txt

campaign-signals: setup-tests
	$(BIN)/python benchmarks/signals.py > benchmarks/results/signals.txt

campaign-serial: $(BENCHMARKS_STAMP)
	$(BENCHMARKS_VENV)/bin/python benchmarks/serial_link.py --json > benchmarks/results/serial_link.json 2> benchmarks/results/serial_link.txt

clean:
	rm -rf $(VENV) $(TFLITE_VENV) $(BENCHMARKS_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
