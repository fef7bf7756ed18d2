# Python 3.12 and gcc are all that has to be there; everything else goes into .venv.
PYTHON ?= $(shell command -v python3.12 || command -v python3)
BIN := .venv/bin
ROOT ?= data
export OMP_NUM_THREADS ?= 1
export DO_NOT_TRACK := 1
unexport PYTHONDONTWRITEBYTECODE
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install gmsh-libraries browser slurm demo test test-long lint format bench clean

help: ## show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: .venv/installed ## make .venv with everything in it (seconds when nothing changed)

.venv/installed: pyproject.toml constraints.txt
	@command -v gcc >/dev/null || { echo "gcc is needed: DOLFINx compiles its forms"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' || \
	  { echo "Python 3.12 is needed; say where: make install PYTHON=/path/to/python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[train,mlflow,flows,scale,dask,gmsh,web,export,test]'
	@touch $@

GMSH_LIBRARIES := libgl1 libglu1-mesa libxcursor1 libxft2 libxinerama1 libxrender1 libxfixes3 libgomp1

gmsh-libraries: ## Debian's libraries that gmsh loads (as root; nothing is shown on a screen)
	@for library in libGL libGLU libXcursor libXft libXinerama libXrender libXfixes libgomp; do \
	  ldconfig -p | grep -q "$$library\.so" || missing=1; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && apt-get install -y -qq $(GMSH_LIBRARIES); fi

browser: ## Debian's Chromium, for the tests of the web catalogue (as root)
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }

slurm: ## Debian's Slurm, for the tests of batch scripts, which start it by hand (as root)
	@command -v slurmctld >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; }

demo: install ## a data set and a trained operator from examples/darcy.yaml, on 2 MPI ranks
	$(BIN)/rekrylov run examples/darcy.yaml --ranks 2 --root $(ROOT)

# What is not `alone` (tests/conftest.py) runs two at a time; so do files of tests that mostly wait for
# servers and jobs. Tests written for ranks share one
# launch of mpiexec for two and one for three; the first rank reports. They run one after the other:
# where a rank fails and another waits for it, the time limit of tests ends the launch.
PYTEST := $(BIN)/python -m pytest
WAITING := tests/batch tests/faults tests/flows
RANKS_2 := -m "not long and parallel[2]"
RANKS_3 := -m "not long and parallel[3]"
FOR_RANKS = -p no:cacheprovider $(shell grep -rl "mark.parallel" tests --include "test_*.py")
OTHERS = $(FOR_RANKS) -q --tb=no --no-summary --no-header --show-capture=no

test: install ## the test suite, or ARGS of it
ifdef ARGS
	$(PYTEST) -m "not long" $(ARGS)
else
	$(PYTEST) -m "not long and not alone" -n 2 --dist loadfile
	$(PYTEST) -m "not long" -n 2 --dist loadfile $(WAITING)
	$(PYTEST) -m "not long and alone and parallel[1]" $(addprefix --ignore=,$(WAITING))
	mpiexec -n 1 $(PYTEST) $(RANKS_2) $(FOR_RANKS) : -n 1 $(PYTEST) $(RANKS_2) $(OTHERS)
	mpiexec -n 1 $(PYTEST) $(RANKS_3) $(FOR_RANKS) : -n 2 $(PYTEST) $(RANKS_3) $(OTHERS)
endif

test-long: install ## the test suite with the full campaigns
	$(BIN)/python -m pytest --timeout 7200 $(ARGS)

lint: install ## linter, formatter, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment
	rm -rf .venv *.egg-info
