# make run        a fresh machine to 1000 seeds' maps and a preview picture
# make test       set-up, format check, lint, types, C++ build, a browser and every test
# make docs       the pages of docs/ and the API reference, into build/site
# make precommit  every check of .pre-commit-config.yaml on every file
# make dist       source distributions and wheel, their contents checked, into dist/
PYTHON ?= python3
SEEDS ?= 0-999
OUTDIR ?= out/rooms
WORKERS ?= 2
TESTS ?= tests
RUN := .venv-run
DEV := .venv
PACKAGES := cli engine kernels export trainer
NATIVE_SOURCES = $(shell find engine/native kernels/cpu -name '*.[ch]' -o -name '*.[ch]pp')
# Everything that `pip install .` copies: RUN is made again when one of these changes, at any depth.
PACKAGE_FILES := $(shell find $(PACKAGES) \( -path engine/native -o -name __pycache__ \) -prune -o -type f -print)
# What the package of the C++ library is built from; some of kernels/ is above.
NATIVE_FILES := $(shell find engine/native/src engine/native/include engine/native/python -type f)
# Test files and benchmarks import each other by bare names, from these folders.
SCRIPT_FOLDERS := tests:benchmarks:benchmarks/gpu:.ci:docs:docs/pictures
SCRIPTS := .ci docs benchmarks tests engine/native/tests/data/make.py

.PHONY: run test setup format lint types types-packages types-scripts native native-deps browser pytest docs \
  docs-serve precommit dist bundle clean

run: $(RUN)/.ready
	$(RUN)/bin/sgi-engine run --seeds $(SEEDS) --outdir $(OUTDIR)

test: setup lint types native browser pytest

setup: $(DEV)/.ready

format: setup
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .
	$(DEV)/bin/clang-format -i $(NATIVE_SOURCES)

lint: setup
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/clang-format --dry-run --Werror $(NATIVE_SOURCES)
	$(DEV)/bin/ruff check .

types: types-packages types-scripts

types-packages: setup .typing/sgi
	MYPYPATH=.typing $(DEV)/bin/mypy $(addprefix -p sgi.,$(PACKAGES))

# What the first run found of the packages and of other libraries is not computed again.
types-scripts: setup .typing/sgi
	MYPYPATH=.typing:$(SCRIPT_FOLDERS) $(DEV)/bin/mypy $(SCRIPTS)

# The C++ library as tests/native runs it: release, sanitizers, OpenVINO; and its Python package.
native: setup
	engine/native/build.sh $(DEV)
	engine/native/python/install.sh $(DEV) build/native-release

# ONNX Runtime's headers and what else C++ is built with, into build/deps.
native-deps:
	engine/native/get-deps.sh build/deps

# Debian's chromium, which drives the viewer's page.
browser:
	.ci/get-browser.sh

pytest: setup
	$(DEV)/bin/pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0 $(TESTS)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(DEV)/bin/mkdocs build --strict --quiet --site-dir build/site

docs-serve: setup
	NO_MKDOCS_2_WARNING=1 $(DEV)/bin/mkdocs serve

precommit: setup
	$(DEV)/bin/pre-commit run --all-files

# build/lib is removed because setuptools would put files of earlier versions from it into the wheel.
dist: setup
	rm -rf build/lib build/bdist.* dist
	$(DEV)/bin/python -m build --outdir dist .
	$(DEV)/bin/python -m build --sdist --outdir dist engine/native/python
	$(DEV)/bin/python .ci/check_dist.py dist

bundle: setup
	$(DEV)/bin/sgi-engine bundle --workdir build/bundle

clean:
	rm -rf $(RUN) $(DEV) .typing build dist *.egg-info

$(RUN)/.ready: pyproject.toml $(PACKAGE_FILES) $(NATIVE_FILES)
	$(PYTHON) -m venv $(RUN)
	rm -rf build/lib build/bdist.*
	$(RUN)/bin/pip install --quiet --disable-pip-version-check --upgrade ".[cpu]"
	engine/native/python/install.sh $(RUN)
	touch $@

$(DEV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

# mypy does not follow editable installs; this gives the folders their import name.
.typing/sgi:
	mkdir -p .typing && ln -sfn .. $@
