// Scans, sorts and reductions of arrays: CUB's on a GPU, the standard library's in the emulation.
//
// Each is an object made before anything is launched, since it takes scratch memory, and run as often as is wanted:
//
//   Scratch scratch;
//   const PairSort sort(scratch, n, 0, 16);
//   ...
//   sort.run(keys, values, sorted_keys, sorted_values);
//
// Input and output may not overlap. n is at most 2^31 - 1.
#pragma once

#include "launch.h"

#ifdef __CUDACC__
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>
#else
#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>
#endif

namespace nk {

inline int checked_count(int64_t n) {
  if (n < 0 || n > 0x7fffffff) throw std::invalid_argument("cannot scan or sort " + std::to_string(n) + " numbers");
  return static_cast<int>(n);
}

#ifdef __CUDACC__

// CUB's algorithms, asked with no memory, say how much they want, and asked again run.

// out[i] = in[0] + … + in[i - 1].
template <class T>
class ExclusiveSum {
 public:
  ExclusiveSum(Scratch &scratch, int64_t n) : n_(checked_count(n)) {
    check_cuda(call(nullptr, bytes_, nullptr, nullptr), "exclusive sum");
    memory_ = scratch.take<char>(static_cast<int64_t>(bytes_));
  }
  void run(const T *in, T *out) const {
    require_scratch();
    size_t bytes = bytes_;
    check_cuda(call(memory_, bytes, in, out), "exclusive sum");
  }

 private:
  cudaError_t call(void *memory, size_t &bytes, const T *in, T *out) const {
    return cub::DeviceScan::ExclusiveSum(memory, bytes, in, out, n_, current_stream());
  }
  int n_;
  size_t bytes_ = 0;
  char *memory_ = nullptr;
};

// The pairs by the bits [begin_bit, end_bit) of their keys; pairs with the same ones keep their order.
class PairSort {
 public:
  PairSort(Scratch &scratch, int64_t n, int begin_bit, int end_bit)
      : n_(checked_count(n)), begin_bit_(begin_bit), end_bit_(end_bit) {
    check_cuda(call(nullptr, bytes_, nullptr, nullptr, nullptr, nullptr), "radix sort");
    memory_ = scratch.take<char>(static_cast<int64_t>(bytes_));
  }
  void run(const uint32_t *keys, const int32_t *values, uint32_t *sorted_keys, int32_t *sorted_values) const {
    require_scratch();
    size_t bytes = bytes_;
    check_cuda(call(memory_, bytes, keys, values, sorted_keys, sorted_values), "radix sort");
  }

 private:
  cudaError_t call(void *memory, size_t &bytes, const uint32_t *keys, const int32_t *values, uint32_t *sorted_keys,
                   int32_t *sorted_values) const {
    return cub::DeviceRadixSort::SortPairs(memory, bytes, keys, sorted_keys, values, sorted_values, n_, begin_bit_,
                                           end_bit_, current_stream());
  }
  int n_, begin_bit_, end_bit_;
  size_t bytes_ = 0;
  char *memory_ = nullptr;
};

// out[0] = the largest of in.
template <class T>
class Maximum {
 public:
  Maximum(Scratch &scratch, int64_t n) : n_(checked_count(n)) {
    check_cuda(call(nullptr, bytes_, nullptr, nullptr), "maximum");
    memory_ = scratch.take<char>(static_cast<int64_t>(bytes_));
  }
  void run(const T *in, T *out) const {
    require_scratch();
    size_t bytes = bytes_;
    check_cuda(call(memory_, bytes, in, out), "maximum");
  }

 private:
  cudaError_t call(void *memory, size_t &bytes, const T *in, T *out) const {
    return cub::DeviceReduce::Max(memory, bytes, in, out, n_, current_stream());
  }
  int n_;
  size_t bytes_ = 0;
  char *memory_ = nullptr;
};

#else

// Takes a byte, so that also here an operator that forgets its scratch is told.
template <class T>
class ExclusiveSum {
 public:
  ExclusiveSum(Scratch &scratch, int64_t n) : n_(checked_count(n)) { scratch.take<char>(1); }
  void run(const T *in, T *out) const {
    require_scratch();
    std::exclusive_scan(in, in + n_, out, T{});
  }

 private:
  int64_t n_;
};

class PairSort {
 public:
  PairSort(Scratch &scratch, int64_t n, int begin_bit, int end_bit)
      : n_(checked_count(n)), begin_bit_(begin_bit), end_bit_(end_bit) {
    scratch.take<char>(1);
  }
  void run(const uint32_t *keys, const int32_t *values, uint32_t *sorted_keys, int32_t *sorted_values) const {
    require_scratch();
    std::vector<int64_t> order(n_);
    std::iota(order.begin(), order.end(), int64_t(0));
    const uint64_t mask = (uint64_t(1) << end_bit_) - (uint64_t(1) << begin_bit_);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return (keys[a] & mask) < (keys[b] & mask); });
    for (int64_t i = 0; i < n_; ++i) {
      sorted_keys[i] = keys[order[i]];
      sorted_values[i] = values[order[i]];
    }
  }

 private:
  int64_t n_;
  int begin_bit_, end_bit_;
};

template <class T>
class Maximum {
 public:
  Maximum(Scratch &scratch, int64_t n) : n_(checked_count(n)) { scratch.take<char>(1); }
  void run(const T *in, T *out) const {
    require_scratch();
    *out = n_ ? *std::max_element(in, in + n_) : std::numeric_limits<T>::lowest();
  }

 private:
  int64_t n_;
};

#endif

}  // namespace nk
