// CUDA's words: CUDA's own under nvcc, the emulation's under g++.
#pragma once

#ifdef __CUDACC__
#include "nvidia.h"
#else
#include "../emulation/device.h"
#endif
