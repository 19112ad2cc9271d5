# make demo   the whole of it on generated faces: ten minutes on two cores after installation
# make networks   the networks of photographs, for `cface enhance`: non-commercial research only; `make demo` does it, too
# make test   the tests
# make soak   each command killed 200 times in all, and what it makes compared: an hour or two
# make fuzz   100,000 damaged or hostile files, half an hour
# make lint   ruff, and what is known against the installed packages, which needs the network
# make package   dist/*.whl and dist/*.tar.gz, checked as a package index would check them
# make docs   the pages as a site, in build/site
# All install into .venv first, once. Another Python: make PYTHON=python3.12 test
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

.PHONY: demo networks test soak fuzz lint package docs clean
demo: networks
	$(VENV)/bin/cface demo $(ARGS)

networks: $(VENV)/installed
	for card in models/photos/*.yml; do $(VENV)/bin/cface models get $$(basename $$card .yml) --from models/photos || exit 1; done

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest $(ARGS)

soak: $(VENV)/installed
	$(VENV)/bin/python -m tests.soak $(ARGS)

fuzz: $(VENV)/installed
	FUZZ_INPUTS=100000 $(VENV)/bin/python -m pytest -q tests/fuzz $(ARGS)

lint: $(VENV)/installed
	$(VENV)/bin/ruff check cface_basicsr tests performance scripts
	$(VENV)/bin/python scripts/audit.py

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
