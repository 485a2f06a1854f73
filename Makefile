# make run   a fresh machine to 1000 seeds' maps and a preview picture
# make test  set up, format check, lint, types, C++ build and every test
PYTHON ?= python3
SEEDS ?= 0-999
OUTDIR ?= out/rooms
WORKERS ?= 2
RUN := .venv-run
DEV := .venv
PACKAGES := cli engine kernels export trainer
NATIVE_SOURCES = $(shell find engine/native -name '*.[ch]' -o -name '*.[ch]pp')

.PHONY: run test setup format lint types native native-deps pytest bundle clean

run: $(RUN)/.ready
	$(RUN)/bin/sgi-engine run --seeds $(SEEDS) --outdir $(OUTDIR)

test: setup lint types native pytest

setup: $(DEV)/.ready

format: setup
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .
	$(DEV)/bin/clang-format -i $(NATIVE_SOURCES)

lint: setup
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/clang-format --dry-run --Werror $(NATIVE_SOURCES)
	$(DEV)/bin/ruff check .

types: setup .typing/sgi
	MYPYPATH=.typing $(DEV)/bin/mypy $(addprefix -p sgi.,$(PACKAGES))

# The C++ library as tests/native runs it: release, sanitizers, OpenVINO.
native: setup
	engine/native/build.sh $(DEV)

# ONNX Runtime's headers and what else C++ is built with, into build/deps.
native-deps:
	engine/native/get-deps.sh build/deps

pytest: setup
	$(DEV)/bin/pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0

bundle: setup
	$(DEV)/bin/sgi-engine bundle --workdir build/bundle

clean:
	rm -rf $(RUN) $(DEV) .typing build dist *.egg-info

$(RUN)/.ready: pyproject.toml $(wildcard engine/*.py engine/*/*.py engine/bundle/*)
	$(PYTHON) -m venv $(RUN)
	$(RUN)/bin/pip install --quiet --disable-pip-version-check --upgrade ".[cpu]"
	touch $@

$(DEV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $@

# mypy does not follow editable installs; this gives the folders their import name.
.typing/sgi:
	mkdir -p .typing && ln -sfn .. $@
