// What is wrong with an operator's arrays, found by a kernel. The host doesn't wait to hear of it: it looks, at the end
// of every call, at a note in memory that both sides see. So an error may belong to an earlier call, as with CUDA's
// own.
#pragma once

#include <cstdint>

#include "device.h"

namespace nk {

// With the numbers that their messages tell: see `describe` in library.cu.
enum FaultKind {
  kNoFault,
  kFaultOffsets,
  kFaultCamera,  // index, ray, cameras
  kFaultAscending,
  kFaultSharedRow,  // index, sample, rows
  kFaultVertex,     // index, face, vertices
};

struct Fault {
  int kind;
  long long numbers[3];
};

// The note of this process. Kernels get it as an argument.
Fault *fault_note();

// Throws what was reported since the last time, if anything.
void throw_reported_fault();

// Called by a kernel; it must itself leave the faulty numbers alone.
NK_DEVICE void report(Fault *note, FaultKind kind, long long a = 0, long long b = 0, long long c = 0) {
#ifdef __CUDACC__
  volatile Fault *to = note;
  to->numbers[0] = a;
  to->numbers[1] = b;
  to->numbers[2] = c;
  __threadfence_system();
  to->kind = kind;
#else
  emulation::note_fault(note, Fault{kind, {a, b, c}});
#endif
}

// The samples of a ray, [begin, end), by offsets [rays + 1] that must rise from 0 to `samples`. Where they don't, that
// is reported and the ray has none.
struct SampleRange {
  int64_t begin, end;
};

NK_DEVICE SampleRange samples_of_ray(const int32_t *offsets, int64_t ray, int64_t rays, int64_t samples, Fault *note) {
  const SampleRange range = {offsets[ray], offsets[ray + 1]};
  const bool first = ray > 0 || range.begin == 0, last = ray + 1 < rays || range.end == samples;
  if (first && last && range.begin >= 0 && range.begin <= range.end && range.end <= samples) return range;
  report(note, kFaultOffsets);
  return {0, 0};
}

}  // namespace nk
