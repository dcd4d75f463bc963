# nerfkit: everything a newcomer or a developer types. Each target sets up what it needs.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt $(wildcard cuda_ext/*.h cuda_ext/*/*.h cuda_ext/*/*.cpp cuda_ext/*/*.cu)

.PHONY: setup demo test test-fast ptx-test fuzz bench lint format cuda emulated ptx gpu-test gpu-bench gpu-all clients clean

setup: $(VENV)/.installed

# torch first and pinned: left to itself pip takes a build with gigabytes of CUDA.
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "nerfkit needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	touch $@

$(VENV)/.installed: $(VENV)/.torch $(SOURCES)
	$(BIN)/pip install --quiet --editable '.[mesh,exr,viewer,dev]'
	touch $@

demo: setup
	$(BIN)/nerfkit run "$$($(BIN)/nerfkit scenes --path still_life)/photos" --out runs/demo --budget 3min
	@echo 'Look at runs/demo/report.html, runs/demo/renders/orbit.mp4 and runs/demo/exports/.'

# A process a core, four at most, which need about 4 GiB each; the tests of a file stay together. Their threads, more
# than there are cores, are not to spin while they wait for each other.
PARALLEL := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: setup clients
	$(PARALLEL) -m "not (gpu or ptx)"

test-fast: setup
	$(PARALLEL) -m "not (gpu or ptx or slow)"

# The operators, and every model, on what nvcc makes of the kernels (`make ptx`). Needs nvcc and no GPU.
ptx-test: setup
	$(PARALLEL) -m ptx

# 10,000 damaged splat files of all formats, a minute: each is read, or refused in one line. `make test` tries 360.
fuzz: setup
	$(BIN)/python tests/splats/fuzz.py $(or $(COUNT),10000) $(or $(SEED),0)

# Programs no one here wrote, that read what nerfkit writes. Tests skip, and say so, where one is missing. Blender as a
# module (374 MB to load, 1 GB installed) is for one version of Python only, and has an environment of its own.
CLIENTS := tests/clients

clients: $(CLIENTS)/.venv/.tried
	@if command -v npm >/dev/null; \
	then test $(CLIENTS)/node_modules/.package-lock.json -nt $(CLIENTS)/package-lock.json || npm ci --silent --prefix $(CLIENTS) || true; \
	else echo 'npm is missing: the tests with other readers of our files will be skipped'; fi

$(CLIENTS)/.venv/.tried: $(CLIENTS)/requirements.txt
	@$(PYTHON) -m venv --clear $(CLIENTS)/.venv
	@$(CLIENTS)/.venv/bin/pip install --quiet --disable-pip-version-check -r $< \
	|| echo 'Blender cannot be installed here (it wants Python 3.11): its tests will be skipped'
	@touch $@

bench: setup
	$(BIN)/python scripts/bench.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files '*.h' '*.cpp' '*.cu')

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files '*.h' '*.cpp' '*.cu')

# Compiles the CUDA side, and what it will share with the CPU, where nvcc is. Needs no GPU.
cuda:
	$(PYTHON) scripts/compile_cuda.py

# The CUDA kernels for a CPU, to test them without a GPU: cuda_ext/emulation/engine.cpp.
emulated:
	@$(MAKE) --no-print-directory -f cuda_ext/emulation/Makefile OUT=build/emulated

# What nvcc makes of them, on a CPU: cuda_ext/emulation/ptx/runtime.cpp. ARCHITECTURE (90) is the GPU's.
ptx:
	@$(MAKE) --no-print-directory -f cuda_ext/emulation/ptx/Makefile OUT=build/ptx$(or $(ARCHITECTURE),90) \
	PYTHON=$(PYTHON) ARCHITECTURE=$(or $(ARCHITECTURE),90)

# On a machine with an NVIDIA GPU, nvcc, and a Python with torch: no .venv and no network needed.
gpu-test:
	@sh scripts/gpu_test.sh

gpu-bench:
	@libraries=$$(sh scripts/gpu_build.sh) && NERFKIT_LIBRARIES=$$libraries PYTHONPATH=$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH} \
	$$(test -x $(BIN)/python && echo $(BIN)/python || echo $(PYTHON)) scripts/gpu_bench.py $(if $(SCENE),--scene $(SCENE))

# All of it within MINUTES (9), with logs and tables in OUT; SCENE is one to train on, beside the bundled one.
gpu-all:
	$(PYTHON) scripts/gpu_all.py --out $(or $(OUT),build/gpu/results) --minutes $(or $(MINUTES),9) $(if $(SCENE),--scene $(SCENE))

clean:
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache
