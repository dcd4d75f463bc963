// Scratch numbers that begin where a vector may: a load across two cache lines costs as much as two.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
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

struct Free {
  void operator()(float *memory) const { std::free(memory); }
};

// The same for numbers that are written before they are read, by many threads: each page comes to the one that writes
// it first.
typedef std::unique_ptr<float[], Free> UnsetBuffer;
inline UnsetBuffer unset_buffer(int64_t size) {
  constexpr size_t kLine = 64;
  void *memory = std::aligned_alloc(kLine, (static_cast<size_t>(size) * sizeof(float) / kLine + 1) * kLine);
  if (!memory) throw std::bad_alloc();
  return UnsetBuffer(static_cast<float *>(memory));
}

}  // namespace nk
