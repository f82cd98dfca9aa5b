# Everything a machine without ROS 2 needs. On a ROS 2 installation: docs/install.md.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_OUT ?= runs/demo
POLICY ?= $(DEMO_OUT)/policy
PYTEST_ARGS ?=

# Rendering without a screen.
export MUJOCO_GL ?= egl

# pip does one thing at a time.
.NOTPARALLEL:

MSGS_FILES := $(wildcard src/vinn_msgs/*.* src/vinn_msgs/msg/*.msg src/vinn_msgs/srv/*.srv \
	src/vinn_msgs/action/*.action src/vinn_msgs/cmake/*.cmake)
# Lets the tests of the trajectory path run where control_msgs is not installed.
TEST_MSGS := test/fakes/control_msgs
TEST_MSGS_FILES := $(wildcard $(TEST_MSGS)/*.* $(TEST_MSGS)/*/*.*)
ROS_FILES := $(wildcard src/vinn_ros/*.* src/vinn_ros/executables/* src/vinn_ros/resource/*) \
	$(shell find launch config -type f -name '[!.]*' ! -name '*.pyc')
USE_FILES := constraints.txt tools/requirements/ros.txt tools/requirements/use.txt \
	src/vinn/setup.cfg src/vinn/setup.py src/vinn/pyproject.toml src/vinn/package.xml

# A stamp's name holds what its step was made of, by names and contents: git sets new times on files
# that it did not change.
made_of = $(shell sha256sum $(1) 2>/dev/null | sha256sum | cut -c -16)
ROS_WHEELS := $(shell grep '^ros-' constraints.txt | sha256sum | cut -c -8)
USE := $(STAMPS)/use.$(call made_of,$(USE_FILES))
DEVELOP := $(STAMPS)/develop.$(call made_of,$(USE_FILES) tools/requirements/develop.txt)
MSGS := $(STAMPS)/vinn_msgs.$(call made_of,$(MSGS_FILES))-$(ROS_WHEELS)
TEST_ONLY_MSGS := $(STAMPS)/test_msgs.$(call made_of,$(TEST_MSGS_FILES))-$(ROS_WHEELS)
ROS := $(STAMPS)/vinn_ros.$(call made_of,$(ROS_FILES))

##@ Use
.PHONY: setup
setup: $(USE) $(MSGS) $(ROS) ## Check the system, then make .venv with all that the demo and a robot need

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
.PHONY: develop
develop: $(DEVELOP) setup $(TEST_ONLY_MSGS) ## Add training (torch), every other extra and the tools of development

.PHONY: test
test: develop ## Set up, lint, check types and imports, run every test
	tools/run_tests.sh $(BIN)/python $(MAKE) --no-print-directory lint

.PHONY: pytest
pytest: develop ## Set up and run the tests alone (PYTEST_ARGS='test/robot -k limits')
ifdef PYTEST_ARGS
	$(BIN)/python -m pytest $(PYTEST_ARGS)
else
	tools/run_tests.sh $(BIN)/python
endif

.PHONY: test-lowest
test-lowest: ## Run the suites with the lowest versions that setup.cfg allows, in an environment of its own
	tools/test_lowest.sh

.PHONY: lint
lint: develop ## Style, formatting, types, the import contract and the manual: what CI checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

.PHONY: docs
docs: develop ## Serve the manual (docs/) on this machine
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

.PHONY: format
format: develop ## Rewrite the code to the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z_-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Each step leaves its stamp when it went well.
define stamp
@rm -f $(basename $@).*
@touch $@
endef

$(DEVELOP): SET := develop
SET := use

$(STAMPS)/venv:
	@tools/check_prerequisites.sh "$(PYTHON)" $(SET)
	"$(PYTHON)" -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt --upgrade pip setuptools wheel
	@mkdir -p $(STAMPS) && touch $@

$(USE): | $(STAMPS)/venv
	@echo "Installing Python packages: a few minutes, about 2 GB on disk"
	$(PIP) install --progress-bar off --build-constraint constraints.txt -c constraints.txt \
		-r tools/requirements/use.txt
	$(stamp)

# Holds what `use` holds: a fresh checkout that is tested installs once. Most of its 25,000 modules are
# never imported; what is, Python compiles then.
$(DEVELOP): | $(STAMPS)/venv
	@tools/check_prerequisites.sh "$(PYTHON)" develop
	@echo "Installing Python packages: some minutes, about 9 GB with the CUDA build of torch"
	$(PIP) install --no-compile --progress-bar off --build-constraint constraints.txt -c constraints.txt \
		-r tools/requirements/develop.txt
	$(stamp)
	@rm -f $(STAMPS)/use.* && touch $(USE)

$(MSGS): | $(USE)
	@echo "Building the messages: about a minute"
	$(PIP) install --no-deps --no-build-isolation --force-reinstall ./src/vinn_msgs
	$(stamp)

$(TEST_ONLY_MSGS): | $(USE)
	@echo "Building the messages that only tests need: about a minute"
	$(PIP) install --no-deps --no-build-isolation --force-reinstall ./$(TEST_MSGS)
	$(stamp)

$(ROS): | $(USE)
	$(PIP) install --no-deps --no-build-isolation --force-reinstall -e src/vinn_ros
	$(stamp)
