# Everything a machine without ROS 2 needs. On a ROS 2 installation: docs/install.md.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_OUT ?= runs/demo
POLICY ?= $(DEMO_OUT)/policy
PYTEST_ARGS ?=

# Rendering without a screen.
export MUJOCO_GL ?= egl

REQUIREMENTS := constraints.txt tools/requirements/dev.txt tools/requirements/ros.txt \
	src/vinn/setup.cfg \
	src/vinn/setup.py src/vinn/pyproject.toml src/vinn/package.xml
MSGS_FILES := $(wildcard src/vinn_msgs/*.* src/vinn_msgs/msg/*.msg src/vinn_msgs/srv/*.srv \
	src/vinn_msgs/action/*.action src/vinn_msgs/cmake/*.cmake)
# Lets the tests of the trajectory path run where control_msgs is not installed.
TEST_MSGS := test/fakes/control_msgs
TEST_MSGS_FILES := $(wildcard $(TEST_MSGS)/*.* $(TEST_MSGS)/*/*.*)
ROS_FILES := $(wildcard src/vinn_ros/*.* src/vinn_ros/executables/* src/vinn_ros/resource/*) \
	$(shell find launch config -type f -name '[!.]*' ! -name '*.pyc')

##@ Use
.PHONY: setup
setup: $(STAMPS)/packages $(STAMPS)/vinn_msgs $(STAMPS)/vinn_ros ## Check the system, then make .venv with everything in it

.PHONY: demo
demo: setup ## Record, build a policy, open doors in simulation, write a report (DEMO_OUT=runs/demo)
	$(BIN)/vinn-demo --out $(DEMO_OUT)

.PHONY: bench
bench: setup ## Measure anew what docs/results/foundation.json states
	$(BIN)/vinn-demo --out runs/bench --results docs/results

.PHONY: network
network: setup ## Measure two machines with a bad network between them (root; POLICY=runs/demo/policy)
	$(BIN)/python -m measure.network --policy $(POLICY)

.PHONY: check-prerequisites
check-prerequisites: ## Name missing system packages and the command that installs them
	@tools/check_prerequisites.sh "$(PYTHON)"

.PHONY: clean
clean: ## Remove .venv, build products and caches (runs/ stays)
	rm -rf $(VENV) build install log dist src/*/build src/*/*.egg-info .mypy_cache .ruff_cache \
		.pytest_cache .import_linter_cache .hypothesis
	find src test tools launch -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Develop
.PHONY: test
test: lint pytest ## Set up, lint, check types and imports, run every test

.PHONY: pytest
pytest: setup $(STAMPS)/test_msgs ## Set up and run the tests alone (PYTEST_ARGS='test/robot -k limits')
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: test-lowest
test-lowest: ## Run the suites with the lowest versions that setup.cfg allows, in an environment of its own
	tools/test_lowest.sh

.PHONY: lint
lint: setup ## Style, formatting, types, the import contract and the manual: what CI checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

.PHONY: docs
docs: setup ## Serve the manual (docs/) on this machine
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

.PHONY: format
format: setup ## Rewrite the code to the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z_-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Each stamp is made when its step went well, and made anew when what went into it changes.

$(STAMPS)/venv: tools/check_prerequisites.sh
	@tools/check_prerequisites.sh "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt --upgrade pip setuptools wheel
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/packages: $(STAMPS)/venv $(REQUIREMENTS)
	@echo "Installing Python packages: some minutes, about 6 GB with the CUDA build of torch"
	$(PIP) install --progress-bar off --build-constraint constraints.txt -c constraints.txt \
		-r tools/requirements/ros.txt -r tools/requirements/dev.txt -e 'src/vinn[console,export,ingest,milvus,onnx,quantize,ray,report,rerun,sim,tasks,train]'
	@touch $@

$(STAMPS)/vinn_msgs: tools/requirements/ros.txt $(MSGS_FILES) | $(STAMPS)/packages
	@echo "Building the messages: about a minute"
	$(PIP) install --no-deps --no-build-isolation --force-reinstall ./src/vinn_msgs
	@touch $@

$(STAMPS)/test_msgs: tools/requirements/ros.txt $(TEST_MSGS_FILES) | $(STAMPS)/packages
	@echo "Building the messages that only tests need: about a minute"
	$(PIP) install --no-deps --no-build-isolation --force-reinstall ./$(TEST_MSGS)
	@touch $@

$(STAMPS)/vinn_ros: $(ROS_FILES) | $(STAMPS)/packages
	$(PIP) install --no-deps --no-build-isolation --force-reinstall -e src/vinn_ros
	@touch $@
