#!/bin/sh
# Everything that can be tested only on a GPU; `make gpu-test` runs it. Needs nvcc, cmake and a Python with torch and
# pytest (.venv or python3), no network. What is given is passed to pytest, such as -k rays.
#
# On the GPU sums whose order is left to the hardware differ in the last bits from run to run: tests compare with
# tolerances there, never bytes.
set -eu
cd "$(dirname "$0")/.."
python=python3
test -x .venv/bin/python && python=.venv/bin/python
NERFKIT_LIBRARIES=$(sh scripts/gpu_build.sh)
PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export NERFKIT_LIBRARIES PYTHONPATH
"$python" -c 'import torch; assert torch.cuda.is_available(), "torch sees no GPU"; print(torch.__version__, torch.cuda.get_device_name(0))'

# What a kernel finds wrong with its arrays is told by the same call only where calls wait: CUDA_LAUNCH_BLOCKING.
echo '== the operators against their definitions, on the GPU'
CUDA_LAUNCH_BLOCKING=1 NERFKIT_TEST_DEVICE=cuda "$python" -m pytest -q -m 'not cpu_only and not gpu' tests/core tests/mesh/test_tsdf.py tests/mesh/test_marching_cubes.py "$@"
echo '== whole runs'
"$python" -m pytest -q -m gpu tests/gpu tests/core "$@"

sanitizer=$(command -v compute-sanitizer || true)
if [ -z "$sanitizer" ]; then
  echo '== compute-sanitizer is not installed: left out'
  exit 0
fi
echo '== compute-sanitizer on the smallest cases'
for tool in memcheck racecheck; do
  NERFKIT_TEST_DEVICE=cuda PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --tool "$tool" --error-exitcode 9 \
    --target-processes all "$python" -m pytest -q -x -p no:cacheprovider tests/core/test_backends.py -k 'is_a_core and float32'
done
