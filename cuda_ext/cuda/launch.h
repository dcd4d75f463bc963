// What every kernel file includes: launches, memory and the words of CUDA C++, under nvcc or in the emulation.
//
// An operator takes its params struct from the host, checks its numbers, takes all of its scratch memory, and then
// launches on the calling thread's stream; nothing waits for the device:
//
//   extern "C" int nk_op(const nk_op_params *p) {
//     return nk::on_device("nk_op", [&] {
//       Scratch scratch;
//       float *sums = scratch.take<float>(p->C);
//       fill_zero(sums, sizeof(float) * p->C);
//       NK_LAUNCH(add_up, blocks(p->N, 256), 256, 0, *p, sums);
//     });
//   }
//
// A kernel gets the struct by value; its arrays lie in device memory. The same source is compiled by g++ for the
// emulation (../emulation/), so that kernels use no word of CUDA's that neither this file nor the emulation explains:
// NK_SHARED and NK_DYNAMIC_SHARED declare shared memory, sort.h and tensor_core.h hide CUB and wmma.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "../error.h"
#include "../math/lanes.h"
#include "../nerfkit.h"
#include "device.h"
#include "fault.h"
#include "half.h"

namespace nk {

// The functions of lanes.h for whole numbers, which would else become floats.
NK_HD int min(int a, int b) { return a < b ? a : b; }
NK_HD int max(int a, int b) { return a > b ? a : b; }
NK_HD unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
NK_HD unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
NK_HD int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
NK_HD int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// All lanes of a warp take part: the mask of its votes and shuffles.
constexpr unsigned kAllLanes = 0xffffffffu;

// Blocks of `block` threads for n threads in all.
inline unsigned blocks(int64_t n, int block) {
  const int64_t count = (n + block - 1) / block;
  if (count > 0x7fffffff) throw std::invalid_argument("more blocks than a grid may have: " + std::to_string(count));
  return static_cast<unsigned>(count);
}

// The number of this thread among all of a one-dimensional grid.
NK_DEVICE int64_t thread_number() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

// i / by, where i is at most `all`, which is alike for all threads: a division of 64 bits takes about a hundred
// instructions.
NK_DEVICE int64_t quotient(int64_t all, int64_t i, int64_t by) {
  return all <= 0xffffffff ? uint32_t(i) / uint32_t(by) : i / by;
}

// Scratch memory of one call, from what nk_use_scratch gave. An operator takes all of it before it launches anything:
// if that is more than there is, the first launch, copy or filling throws NeedsScratch instead.
class Scratch {
 public:
  Scratch() { begin_scratch(); }
  ~Scratch() { end_scratch(); }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;

  // Room for n of T, not initialised.
  template <class T>
  T *take(int64_t n) {
    return static_cast<T *>(take_scratch(int64_t(sizeof(T)) * n));
  }
};

// Runs an operator's body. What kernels found wrong with their arrays, in this call or an earlier one, is an error too.
template <class Body>
int on_device(const char *name, Body body) {
  return guarded(name, [&] {
    body();
    throw_reported_fault();
  });
}

}  // namespace nk
