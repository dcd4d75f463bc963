#!/bin/sh
# Everything that can be tested only on a GPU; `make gpu-test` runs it. Needs nvcc, cmake and a Python (.venv or
# python3) with torch, pytest, scipy, imageio, opencv-python-headless and safetensors, no network.
#
#   sh scripts/gpu_test.sh [STAGE ...] [-- PYTEST'S ARGUMENTS]
#
#   operators  every operator against its definition in float64, values and gradients
#   runs       whole trainings of every model, a full memory
#   memcheck   compute-sanitizer on the smallest cases of every operator, like the next
#   racecheck
#
# Without names all of them. Where pytest-xdist is installed, tests run in as many processes as NERFKIT_TEST_PROCESSES
# says (8); one whose CUDA breaks is replaced by a new one. On the GPU sums whose order is left to the hardware differ in
# the last bits from run to run: tests compare with tolerances there, never bytes.
set -eu
cd "$(dirname "$0")/.."
python=python3
test -x .venv/bin/python && python=.venv/bin/python
PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
NERFKIT_TEST_DEVICE=${NERFKIT_TEST_DEVICE:-cuda}
stages=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  stages="$stages $1"
  shift
done
[ $# -eq 0 ] || shift
has() { "$python" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$1') is None)"; }
refuse() {
  echo "gpu_test.sh: $1" >&2
  exit 1
}

for package in torch pytest; do
  has $package || refuse "$python has no $package; install it, or run make setup"
done
if [ "$NERFKIT_TEST_DEVICE" = cuda ]; then
  "$python" -c 'import torch; print(torch.__version__, torch.cuda.get_device_name(0))' 2>/dev/null \
    || refuse "the torch of $python sees no GPU; these tests need one (make test runs all others)"
fi
NERFKIT_LIBRARIES=$(sh scripts/gpu_build.sh)
export NERFKIT_LIBRARIES PYTHONPATH NERFKIT_TEST_DEVICE

pytest() { "$python" -m pytest -q -p no:cacheprovider "$@"; }

# What a kernel finds wrong with its arrays is told by the same call only where calls wait: CUDA_LAUNCH_BLOCKING.
operators() {
  spread=
  if has xdist; then spread="-n ${NERFKIT_TEST_PROCESSES:-8} --max-worker-restart 100"; fi
  if has pytest_timeout; then spread="$spread --timeout 120 --timeout-method thread"; fi
  # shellcheck disable=SC2086
  OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} CUDA_LAUNCH_BLOCKING=1 pytest -m 'not cpu_only and not gpu' --durations 10 $spread \
    tests/core tests/mesh/test_tsdf.py tests/mesh/test_marching_cubes.py "$@"
}

runs() { NERFKIT_TEST_DEVICE='' pytest -m gpu --durations 0 --durations-min 1 tests/gpu tests/core "$@"; }

sanitized() {
  tool=$1
  shift
  sanitizer=$(command -v compute-sanitizer || true)
  if [ -z "$sanitizer" ]; then
    echo "== compute-sanitizer is not installed: $tool is left out"
    return 0
  fi
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --tool "$tool" --error-exitcode 9 --target-processes all \
    --report-api-errors no "$python" -m pytest -q -p no:cacheprovider tests/core/test_backends.py -k 'is_a_core and float32' "$@"
}

failed=
for stage in ${stages:-operators runs memcheck racecheck}; do
  echo "== $stage"
  case $stage in
    operators | runs) "$stage" "$@" || failed="$failed $stage" ;;
    memcheck | racecheck) sanitized "$stage" "$@" || failed="$failed $stage" ;;
    *) echo "no such stage: $stage" >&2 && exit 2 ;;
  esac
done
if [ -n "$failed" ]; then
  echo "failed:$failed"
  exit 1
fi
