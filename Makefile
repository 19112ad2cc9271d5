# make demo   the whole of it on generated faces: nine minutes on two cores after installation
# make test   the tests
# Both install into .venv first, once. Another Python: make PYTHON=python3.12 test
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

.PHONY: demo test lint clean
demo: $(VENV)/installed
	$(VENV)/bin/cface demo $(ARGS)

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest $(ARGS)

lint: $(VENV)/installed
	$(VENV)/bin/ruff check cface_basicsr tests performance

$(VENV)/installed: pyproject.toml constraints.txt scripts/install.sh
	scripts/install.sh $(PYTHON) $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
