# make demo   the whole of it on generated faces: nine minutes on two cores after installation
# make test   the tests
# make soak   each command killed 200 times in all, and what it makes compared: an hour or two
# make fuzz   100,000 damaged or hostile files, half an hour
# make package   dist/*.whl and dist/*.tar.gz, checked as a package index would check them
# make docs   the pages as a site, in build/site
# All install into .venv first, once. Another Python: make PYTHON=python3.12 test
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

.PHONY: demo test soak fuzz lint package docs clean
demo: $(VENV)/installed
	$(VENV)/bin/cface demo $(ARGS)

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest $(ARGS)

soak: $(VENV)/installed
	$(VENV)/bin/python -m tests.soak $(ARGS)

fuzz: $(VENV)/installed
	FUZZ_INPUTS=100000 $(VENV)/bin/python -m pytest -q tests/fuzz $(ARGS)

lint: $(VENV)/installed
	$(VENV)/bin/ruff check cface_basicsr tests performance

package: $(VENV)/installed
	$(VENV)/bin/python -m pip install -q -c constraints.txt build twine
	rm -rf dist
	$(VENV)/bin/python -m build --no-isolation
	$(VENV)/bin/twine check --strict dist/*

docs: $(VENV)/installed
	$(VENV)/bin/python -m pip install -q -c constraints.txt mkdocs-material 'mkdocstrings[python]'
	$(VENV)/bin/mkdocs build --strict

$(VENV)/installed: pyproject.toml constraints.txt scripts/install.sh
	scripts/install.sh $(PYTHON) $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
