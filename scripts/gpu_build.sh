#!/bin/sh
# Builds nerfkit's libraries, the CUDA one for the GPU that is here, into build/gpu, with cmake and nvcc alone: no
# package is installed. Prints the folder that NERFKIT_LIBRARIES is to name; what took longest is told on stderr. Where
# it names one already, with libraries brought along (by NERFKIT_GPU_ARCHITECTURES=90 sh scripts/gpu_build.sh elsewhere,
# for a GPU of compute capability 9.0), nothing is built.
set -eu
if [ -n "${NERFKIT_LIBRARIES:-}" ]; then
  echo "$NERFKIT_LIBRARIES"
  exit
fi
cd "$(dirname "$0")/.."
architectures=${NERFKIT_GPU_ARCHITECTURES:-native}
command -v nvcc >/dev/null || PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
refuse() {
  echo "gpu_build.sh: $1" >&2
  exit 1
}
command -v nvcc >/dev/null || refuse 'nvcc is missing; install the CUDA toolkit, or set CUDA_HOME to its folder'
command -v cmake >/dev/null || refuse 'cmake is missing; install it, for instance with pip install cmake'
# Any trace of a GPU will do: containers may lack nvidia-smi, WSL and Jetson the usual devices.
has_gpu() { nvidia-smi -L || ls /dev/nvidia* || ls /dev/nvmap || ls /dev/dxg; }
if [ "$architectures" = native ] && ! has_gpu >/dev/null 2>&1; then
  refuse 'there is no NVIDIA GPU here to build for; for one of another machine name its architecture, such as
NERFKIT_GPU_ARCHITECTURES=90, or see that all compiles: make cuda'
fi
generator='Unix Makefiles'
command -v ninja >/dev/null && generator=Ninja
folder=build/gpu/$(echo "$generator" | tr 'A-Z ' 'a-z_')
cmake -S . -B "$folder" -G "$generator" -DCMAKE_BUILD_TYPE=Release -DNERFKIT_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES="$architectures" >&2
cmake --build "$folder" --parallel "$(nproc)" >&2
cmake --install "$folder" --prefix build/gpu/installed >&2
if [ -f "$folder/.ninja_log" ]; then # its columns: start and end in milliseconds, a time, the file, a hash
  echo 'seconds  file, of those that took longest' >&2
  awk 'NF >= 5 && $1 ~ /^[0-9]+$/ { printf "%7.1f  %s\n", ($2 - $1) / 1000, $4 }' "$folder/.ninja_log" | sort -rn | head -n 8 >&2
fi
echo "$PWD/build/gpu/installed/nerfkit/core"
