#!/usr/bin/env bash
# Compiles every CUDA source, and every math header as device code, with warnings as errors. Needs nvcc, no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v nvcc >/dev/null; then
  echo "nvcc is not here: install the CUDA toolkit to compile the CUDA side"
  exit 0
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags=(-std=c++17 -arch=sm_90 -Werror all-warnings --expt-relaxed-constexpr -Icuda_ext)
for header in cuda_ext/math/*.h; do
  printf '#include "%s"\n' "${header#cuda_ext/}" >"$out/header.cu"
  nvcc "${flags[@]}" -c "$out/header.cu" -o "$out/header.o"
  echo "device code: $header"
done
shopt -s nullglob
sources=(cuda_ext/cuda/*.cu)
for source in "${sources[@]}"; do
  nvcc "${flags[@]}" -Xptxas -v -c "$source" -o "$out/kernel.o"
  echo "kernel: $source"
done
echo "${#sources[@]} CUDA sources compiled"
