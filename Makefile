# make app    make .venv, install, start the demo on 127.0.0.1:7860
# make test   make .venv, install what the tests need, run ruff, mypy, lint-imports and every test but the next ones
# make test-full  the same installation, then the tests of published models in full size (minutes, gigabytes of memory)
# make parity  the same installation, then the tests against published implementations, with a table of differences
# make lessons  the same installation, then every lesson and solution (their code is the same in both languages), each within 5 minutes and 3 GB
# make slides  the same installation, then slides and handouts in build/slides
# make bench  the same installation, then the benchmarks
# make dist   the same installation, then the wheel, the sdist and the weights of a release in dist
# make load   the same installation, then 16 visitors of the studio for 10 minutes
PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip
PORT   ?= 7860
WORKERS ?= 2
PYTEST ?=
LOAD   ?=
NOTEBOOKS ?= --measured lessons/measured.json lessons/en solutions/en

.PHONY: app test test-full parity lessons slides lint bench load dist clean

app: $(VENV)/.app
	$(VENV)/bin/python app.py --port $(PORT)

test: lint
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST)

test-full: $(VENV)/.test
	$(VENV)/bin/python -m pytest -m full

parity: $(VENV)/.test
	$(VENV)/bin/python -m pytest -q -p no:randomly --parity --durations=0 -W ignore

lessons: $(VENV)/.test
	$(VENV)/bin/python -m pytest -q -p minidiff.course.budget -p no:randomly --nbmake --nbmake-timeout=600 --timeout=0 $(NOTEBOOKS)

slides: $(VENV)/.test
	$(VENV)/bin/python -m minidiff course slides

lint: $(VENV)/.test
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/vermin --target=3.10- --eval-annotations --no-tips --quiet minidiff benchmarks tests app.py

bench: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks

dist: $(VENV)/.test
	rm -rf dist build/lib build/bdist.*
	$(VENV)/bin/python -m build --outdir dist
	cp minidiff/pretrained/weights/*.safetensors minidiff/pretrained/weights/*.json dist/

load: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks.load $(LOAD)

# Stamps: a second make goes straight to work, until the list of requirements changes.
$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "minidiff needs Python 3.10 or newer; name one with: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python3 -m venv failed; on Debian and Ubuntu install python3-venv first." >&2; exit 1; }
	touch $@

$(VENV)/.app: pyproject.toml constraints.txt | $(VENV)/.venv
	$(PIP) install -c constraints.txt -e ".[app]"
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.venv
	$(PIP) install -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
