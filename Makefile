# Every target sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
INSTALLED := $(VENV)/.installed
DEMO_INSTALLED := $(VENV)/.demo-installed

.DEFAULT_GOAL := help
.PHONY: help demo test check slow gpu bench grid rare-tables faces digits wheel lowest docs results clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[all]'
	if [ -f $(DEMO_INSTALLED) ]; then $(BIN)/python -m compileall -q $(VENV)/lib || true; fi
	touch $@

# What the demo needs, and nothing else; `make test` installs the rest on top. Python compiles what the demo imports, a
# part of what pip would.
$(DEMO_INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --no-compile -e '.[train,data,tabular]'
	touch $@

demo: $(if $(wildcard $(INSTALLED)),$(INSTALLED),$(DEMO_INSTALLED)) ## what ConR and RareRegressor do for rare labels, with a report (2 minutes on 2 cores)
	PYTHONDONTWRITEBYTECODE= $(BIN)/conr demo

test: $(INSTALLED) ## run the test suite (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist loadscope

check: $(INSTALLED) ## lint, formatting, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadscope

slow: $(INSTALLED) ## slow tests, then the full demo: reweighting too, and the abalone table
	$(BIN)/python -m pytest -m slow
	$(BIN)/conr demo --full

gpu: $(INSTALLED) ## on a machine with a CUDA GPU: its tests, then the benchmark benchmarks/results/gpu_engines.json
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python -m benchmarks.gpu_engines

bench: $(INSTALLED) ## time conr_loss against the plain form and write benchmarks/results/*.json
	$(BIN)/python -m benchmarks.conr_loss

# DATA is a folder of yours with imbalanced-tabular/, uci/ and sts-b-dir/.
grid: $(INSTALLED) ## compare 14 methods on nine datasets, five seeds: make grid DATA=FOLDER (two hours)
	$(BIN)/python -m benchmarks.grid --data $(DATA)

# DATA is a folder of yours with imbalanced-tabular/ and uci/.
rare-tables: $(INSTALLED) ## RareRegressor against its candidates and others on seven tables: make rare-tables DATA=FOLDER (5 hours on 1 core)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.rare_tables --data $(DATA)

# DATA is the folder or the zip archive of UTKFace.
faces: $(INSTALLED) ## does ConR help on real faces? searched settings, 15 methods, frontiers: make faces DATA=ROOT
	$(BIN)/python -m benchmarks.claims faces --data $(DATA)

digits: $(INSTALLED) ## the same on rotated digits, which come along
	$(BIN)/python -m benchmarks.claims digits

# The wheel is tried in an environment of its own, which has torch and numpy alone.
wheel: ## build the package, check its files and try the wheel in an empty environment
	rm -rf dist $(VENV)-wheel
	$(PYTHON) -m venv $(VENV)-build
	$(VENV)-build/bin/python -m pip install --disable-pip-version-check -c constraints.txt build twine
	$(VENV)-build/bin/python -m build
	$(VENV)-build/bin/python -m twine check --strict dist/*
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --disable-pip-version-check -c constraints.txt dist/*.whl
	cd dist && $(abspath $(VENV)-wheel)/bin/python ../tests/package/check_wheel.py .

lowest: ## run the tests with the lowest versions that the package allows
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --disable-pip-version-check -c constraints-lowest.txt -e '.[all]'
	$(VENV)-lowest/bin/python -m pytest -n 2 --dist loadscope

docs: $(INSTALLED) ## build the documentation into site/ and check its links (warnings are errors)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python -m docs.check_site site

results: $(INSTALLED) ## rebuild every table of the README and the docs from the committed result files
	$(BIN)/python -m docs.tables

clean: ## remove the virtual environment and all caches (never runs/)
	rm -rf $(VENV) $(VENV)-build $(VENV)-wheel $(VENV)-lowest dist .mypy_cache .ruff_cache .pytest_cache .hypothesis site
