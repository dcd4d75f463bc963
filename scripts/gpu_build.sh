#!/bin/sh
# Builds nerfkit's libraries, the CUDA one for the GPU that is here, into build/gpu, with cmake and nvcc alone: no
# package is installed. Prints the folder that NERFKIT_LIBRARIES is to name.
set -eu
cd "$(dirname "$0")/.."
architectures=${NERFKIT_GPU_ARCHITECTURES:-native}
cmake -S . -B build/gpu/cmake -DCMAKE_BUILD_TYPE=Release -DNERFKIT_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$architectures" >&2
cmake --build build/gpu/cmake --parallel >&2
cmake --install build/gpu/cmake --prefix build/gpu/installed >&2
echo "$PWD/build/gpu/installed/nerfkit/core"
