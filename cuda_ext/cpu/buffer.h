// Scratch numbers that begin where a vector may: a load across two cache lines costs as much as two.
#pragma once

#include <cstdint>
#include <vector>

#include "../math/lanes.h"

namespace nk {

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size) : vectors_((size + kLanes - 1) / kLanes, Lanes{}) {}  // zeros

  float *data() { return reinterpret_cast<float *>(vectors_.data()); }
  const float *data() const { return reinterpret_cast<const float *>(vectors_.data()); }
  void swap(Buffer &other) { vectors_.swap(other.vectors_); }

 private:
  std::vector<Lanes> vectors_;
};

}  // namespace nk
