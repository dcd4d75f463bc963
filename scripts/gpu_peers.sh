#!/bin/sh
# The peers that nerfkit is measured against, gsplat and nerfacc, with their kernels compiled for one GPU generation, one
# torch and one Python: for a machine that has a GPU and torch, but no network, or no minutes to spare for compiling.
#
#   sh scripts/gpu_peers.sh build/peers           # where there is a network, nvcc and g++; no GPU is needed
#   PYTHONPATH=$PWD/build/peers make gpu-bench    # there, with that folder copied
#
# What can be set, and what is taken if not:
#   PYTHON=python3.12  an interpreter of the version that there is there, with its headers
#   TORCH=2.11.0       the torch there; its CUDA has to be that of this nvcc. Of its 530 MB only headers and symbols are used
#   ARCHITECTURE=90    the compute capability of the GPU there: 90 for H100 and H200
#   WHEELS=            a folder of wheels to look into before the network
#   JOBS=2             files to compile at a time
#
# Flags are those that both packages compile with at their first use, -use_fast_math for gsplat among them. fused-ssim and
# tiny-cuda-nn are not on PyPI, and left out.
set -eu
PYTHON=${PYTHON:-python3.12} TORCH=${TORCH:-2.11.0} ARCHITECTURE=${ARCHITECTURE:-90} WHEELS=${WHEELS:-} JOBS=${JOBS:-2}
PACKAGES='gsplat==1.5.3 nerfacc==0.5.3'
IMPORTED='rich markdown-it-py mdurl pygments packaging' # what these import and torch does not bring along

fail() {
  echo "gpu_peers.sh: $*" >&2
  exit 1
}

# load FOLDER REQUIREMENT...: what wheels for the target's Python hold of $parts, or all of it.
parts=
load() {
  to=$1
  shift
  "$PYTHON" -m pip download -qq --disable-pip-version-check --only-binary :all: ${WHEELS:+--find-links "$WHEELS"} --dest "$work/wheels" "$@" ||
    fail "pip does not find $*"
  # shellcheck disable=SC2086 # a list
  for wheel in "$work"/wheels/*.whl; do (set -f && unzip -q -o "$wheel" $parts -d "$to" 2>/dev/null) || test -n "$parts"; done
  rm -r "$work/wheels"
}

# build PACKAGE FLAGS...: its sources to objects, several at a time and only those that have changed, and these to
# PACKAGE/csrc.so, which it looks for before it compiles. torch and CUDA's runtime are loaded when it is, by torch.
build() {
  package=$1
  shift
  objects=$work/$package
  mkdir -p "$objects"
  find "$folder/$package/cuda" -path '*/third_party/*' -prune -o \( -name '*.cu' -o -name '*.cpp' \) -print |
    xargs -P "$JOBS" -I{} sh -c '
      source=$1 object=$2/$(basename "$1").o
      shift 2
      test "$object" -nt "$source" && exit 0
      echo "  $(basename "$source")" >&2
      "$@" -c "$source" -o "$object.part" && mv "$object.part" "$object"' one {} "$objects" \
      nvcc -O3 -std=c++17 -w --expt-relaxed-constexpr -Xcompiler -fPIC \
      "-gencode=arch=compute_$ARCHITECTURE,code=sm_$ARCHITECTURE" -DTORCH_EXTENSION_NAME=csrc -DTORCH_API_INCLUDE_EXTENSION_H \
      -D__CUDA_NO_HALF_OPERATORS__ -D__CUDA_NO_HALF_CONVERSIONS__ -D__CUDA_NO_BFLOAT16_CONVERSIONS__ -D__CUDA_NO_HALF2_OPERATORS__ \
      -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" -isystem "$headers" \
      -isystem "$work/cuda" "$@" || fail "$package does not compile"
  nvcc -shared -cudart shared "$objects"/*.o -o "$folder/$package/csrc.so" -L"$torch/lib" \
    -lc10 -lc10_cuda -ltorch_cpu -ltorch_cuda -ltorch -ltorch_python || fail "$package does not link"
}

test $# -eq 1 || fail 'usage: sh scripts/gpu_peers.sh FOLDER'
nvcc --version >/dev/null 2>&1 || fail 'nvcc is not here: install the CUDA toolkit'
headers=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))') ||
  fail "$PYTHON is not here: install it, or set PYTHON to one of the version that there is there"
test -e "$headers/Python.h" || fail "$headers/Python.h is missing: install $PYTHON-dev, or set PYTHON to one with headers"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
work=$folder.work # headers and objects: not needed there
torch=$work/torch
mkdir -p "$work"
if [ ! -d "$torch" ]; then
  echo "torch $TORCH, for its headers" >&2
  parts='torch/include/* torch/lib/libc10* torch/lib/libtorch*'
  load "$work" --no-deps "torch==$TORCH"
fi
if [ ! -d "$work/cuda" ]; then
  mkdir "$work/cuda"
  if ! echo '#include <curand.h>' | nvcc -E -x cu - >/dev/null 2>&1; then
    echo "headers of CUDA's libraries, which torch's ask for and this CUDA toolkit lacks" >&2
    release=$(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
    parts='nvidia/*/include/*'
    load "$work" "cuda-toolkit[cublas,curand,cusolver,cusparse]==$release.*"
    cp -r "$work"/nvidia/*/include/* "$work/cuda"
    rm -r "$work/nvidia"
  fi
fi
parts=
load "$folder" --no-deps $PACKAGES $IMPORTED # lists
echo "compiling for sm_$ARCHITECTURE, $JOBS files at a time: a quarter of an hour on two cores" >&2
build gsplat -use_fast_math -I"$folder/gsplat/cuda/include" -I"$folder/gsplat/cuda/csrc/third_party/glm"
build nerfacc
rm -rf "$folder/gsplat/cuda/csrc" "$folder/gsplat/cuda/include" "$folder/nerfacc/cuda/csrc"
echo "$folder is ready, $(du -sm "$folder" | cut -f1) MB; $work can go" >&2
