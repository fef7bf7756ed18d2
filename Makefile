# Python 3.12 and gcc are all that has to be there; everything else goes into .venv.
PYTHON ?= $(shell command -v python3.12 || command -v python3)
BIN := .venv/bin
ROOT ?= data
export OMP_NUM_THREADS ?= 1
export DO_NOT_TRACK := 1
unexport PYTHONDONTWRITEBYTECODE
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install gmsh-libraries browser demo test test-long lint format bench clean

help: ## show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: .venv/installed ## make .venv with everything in it (seconds when nothing changed)

.venv/installed: pyproject.toml constraints.txt
	@command -v gcc >/dev/null || { echo "gcc is needed: DOLFINx compiles its forms"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' || \
	  { echo "Python 3.12 is needed; say where: make install PYTHON=/path/to/python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[train,mlflow,flows,dask,gmsh,web,export,test]'
	@touch $@

GMSH_LIBRARIES := libgl1 libglu1-mesa libxcursor1 libxft2 libxinerama1 libxrender1 libxfixes3 libgomp1

gmsh-libraries: ## Debian's libraries that gmsh loads (as root; nothing is shown on a screen)
	@for library in libGL libGLU libXcursor libXft libXinerama libXrender libXfixes libgomp; do \
	  ldconfig -p | grep -q "$$library\.so" || missing=1; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && apt-get install -y -qq $(GMSH_LIBRARIES); fi

browser: ## Debian's Chromium, for the tests of the web catalogue (as root)
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }

demo: install ## a data set and a trained operator from examples/darcy.yaml, on 2 MPI ranks
	$(BIN)/rekrylov run examples/darcy.yaml --ranks 2 --root $(ROOT)

# Tests that start no MPI (a few do) run two at a time; MPI runs on two cores would wait for each other.
TWO_AT_A_TIME := tests/storage tests/pipeline/operators tests/pipeline/datasets tests/pipeline/families

test: install ## the test suite, or ARGS of it
ifdef ARGS
	$(BIN)/python -m pytest -m "not long" $(ARGS)
else
	$(BIN)/python -m pytest -m "not long" $(addprefix --ignore=,$(TWO_AT_A_TIME))
	$(BIN)/python -m pytest -m "not long" -n 2 --dist loadfile $(TWO_AT_A_TIME)
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
