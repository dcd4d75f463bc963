// What the library says about itself; the calling thread's stream and scratch memory; the launches' helpers.
#include "../library.h"
#include "launch.h"
#include "tile.h"

namespace nk {
namespace {

struct Call {
  void *memory = nullptr;
  int64_t bytes = 0;   // there are
  int64_t taken = 0;   // by the operator that runs
  int64_t wanted = 0;  // by the last one
};

thread_local Call call;

constexpr int64_t kScratchAlignment = 256;

std::string describe(const Fault &fault) {
  const auto number = [&](int i) { return std::to_string(fault.numbers[i]); };
  switch (fault.kind) {
    case kFaultOffsets:
      return "offsets must rise from 0 to the number of samples";
    case kFaultCamera:
      return "camera_index must be 0 to " + std::to_string(fault.numbers[2] - 1) + ", got " + number(0) + " for ray " +
             number(1);
    case kFaultAscending:
      return "u must ascend in every row";
    case kFaultVertex:
      return "faces must name vertices 0 to " + std::to_string(fault.numbers[2] - 1) + ", got " + number(0) +
             " in face " + number(1);
    case kFaultSharedRow:
      return "index must be 0 to " + std::to_string(fault.numbers[2] - 1) + ", got " + number(0) + " for sample " +
             number(1);
  }
  return "an unknown fault, number " + std::to_string(fault.kind);
}

}  // namespace

void begin_scratch() { call.taken = call.wanted = 0; }
void end_scratch() {
  call.taken = 0;
#ifndef __CUDACC__
  emulation::free_scratch();
#endif
}
void require_scratch() {
  if (call.taken > call.bytes) throw NeedsScratch();
}

void throw_reported_fault() {
  Fault *note = fault_note();
  if (static_cast<volatile Fault *>(note)->kind == kNoFault) return;
  const Fault found = *note;
  note->kind = kNoFault;
  throw std::invalid_argument(describe(found) + " (in this call or an earlier one)");
}

// How much is taken is counted even where there is less: the caller is told what to bring.
static int64_t reserve(int64_t bytes) {
  const int64_t at = call.taken;
  call.taken += (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  call.wanted = call.taken;
  return at;
}

#ifdef __CUDACC__

static thread_local cudaStream_t stream = nullptr;

cudaStream_t current_stream() { return stream; }
static void use_stream(void *given) { stream = static_cast<cudaStream_t>(given); }

void *take_scratch(int64_t bytes) { return static_cast<char *>(call.memory) + reserve(bytes); }

void check_cuda(cudaError_t status, const char *what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next call doesn't report it again
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

static void allow_shared(const char *name, const void *kernel, int64_t bytes) {
  constexpr int64_t kWithoutAsking = 48 * 1024;
  if (bytes <= kWithoutAsking) return;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
             (std::string("kernel ") + name).c_str());
}

bool before_launch(const char *name, const void *kernel, dim3 grid, int64_t shared_bytes) {
  require_scratch();
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return false;
  allow_shared(name, kernel, shared_bytes);
  return true;
}

static int attribute_of_device(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

int64_t most_shared_bytes() { return attribute_of_device(cudaDevAttrMaxSharedMemoryPerBlockOptin); }

unsigned resident_blocks(const void *kernel, int threads, int64_t shared_bytes) {
  allow_shared("resident_blocks", kernel, shared_bytes);
  int of_processor = 0;
  check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_processor, kernel, threads, shared_bytes),
             "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
  return static_cast<unsigned>(of_processor) * attribute_of_device(cudaDevAttrMultiProcessorCount);
}

void after_launch(const char *name) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) check_cuda(status, (std::string("kernel ") + name).c_str());
}

void fill_zero(void *to, int64_t bytes) {
  require_scratch();
  if (bytes) check_cuda(cudaMemsetAsync(to, 0, bytes, stream), "cudaMemsetAsync");  // an empty tensor's address is null
}

void copy_on_device(void *to, const void *from, int64_t bytes) {
  require_scratch();
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
}

void copy_to_host(void *to, const void *from, int64_t bytes) {
  require_scratch();
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
  check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

Fault *fault_note() {
  static Fault *const note = [] {
    void *memory = nullptr;
    check_cuda(cudaHostAlloc(&memory, sizeof(Fault), cudaHostAllocPortable | cudaHostAllocMapped), "cudaHostAlloc");
    return new (memory) Fault{};
  }();
  return note;
}

#else

static void use_stream(void *) {}

// Each piece is memory of its own, so that AddressSanitizer knows where it ends.
void *take_scratch(int64_t bytes) {
  reserve(bytes);
  return emulation::take_scratch(bytes);
}

Fault *fault_note() {
  static Fault note = {};
  return &note;
}

#endif

}  // namespace nk

extern "C" {

int32_t nk_lanes(void) { return 1; }
int32_t nk_tile(void) { return nk::kTile; }
void nk_use_stream(void *stream) { nk::use_stream(stream); }
void nk_use_scratch(void *memory, int64_t bytes) {
  nk::call.memory = memory;
  nk::call.bytes = bytes;
}
int64_t nk_scratch_needed(void) { return nk::call.wanted; }
}
