# make lab | make course | make electives | make test | make fast | make lessons | make site | make format | make clean
PYTHON ?= python3
JOBS ?= auto
BIN = .venv/bin
# Options of JupyterLab, which does not start for root, as in a container, without this one
LAB = $(if $(filter 0,$(shell id -u)),--allow-root)

lab: .venv/course-ready
	$(BIN)/jupyter lab notebooks/01_environment.ipynb $(LAB)

course: .venv/course-ready
	$(BIN)/nbhelpers run

electives: .venv/course-ready
	$(BIN)/nbhelpers run --all

test: .venv/test-ready check
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile -m "not alone"
	$(BIN)/pytest -m alone

fast: .venv/test-ready check
	$(BIN)/pytest --numprocesses $(JOBS) -m "not slow and not alone"

check: .venv/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/test-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lessons: .venv/test-ready
	$(BIN)/python -m nbhelpers.course.build

site: .venv/site-ready
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/site
	@echo "The site is in build/site: open build/site/index.html"

clean:
	rm -rf .venv runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/course-ready: EXTRAS = course
.venv/test-ready: EXTRAS = course,site,test
.venv/site-ready: EXTRAS = course,site
.venv/%-ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 11)' 2> /dev/null || \
	  { echo "nbhelpers needs Python 3.11 or newer with venv (Debian: apt install python3-venv); for another one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the package and what it needs into .venv (a few minutes, once) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@

.PHONY: lab course electives test fast check format lessons site clean
