// Runs CUDA kernels on the host, for tests: block after block, with a fiber (a stack of its own) for each thread.
//
// A fiber runs until it returns or waits: at a barrier of the block, or for lanes of its warp. When no fiber can go on,
// either all that are left wait at one barrier, which then opens, or the kernel is wrong and the launch throws.
// Shared memory is allocated anew for each launch, every array by itself and of exactly its size, and filled with NaN
// at the start of each block: AddressSanitizer sees what runs over its end, tests see what was read before it was
// written.
//
// What this can't show, since threads run one at a time and in order on an x86 or Arm core:
//   - the order in which memory becomes visible to other threads, blocks and the host (fences, volatile);
//   - how warps are really scheduled: waiting for another block (spinning on a flag) never ends here, or only here;
//   - speed, occupancy, registers and __launch_bounds__, bank conflicts, coalescing; the size of a stack and the depth
//   of recursion;
//   - rounding: fused multiply-add, the fast approximations (__expf, rsqrtf…), which are exact here, denormals, the
//   order
//     of atomic sums, and the order and precision in which tensor cores add up;
//   - what a full mask means in a warp that isn't full: here every lane that a mask names must exist;
//   - the device's own allocator, textures, dynamic parallelism, clusters, asynchronous copies: not there.
// One launch at a time: a second thread of the process waits.
#include "engine.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

#include "stack.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace nk {
namespace emulation {
namespace {

constexpr int kWarp = 32;
constexpr size_t kMostStaticShared = 48 * 1024;
#ifdef NK_MOST_SHARED
constexpr size_t kMostShared = NK_MOST_SHARED;
#else
constexpr size_t kMostShared = 64 * 1024;  // of sm_75, the oldest target
#endif

enum class State { kReady, kAtBarrier, kAtWarp, kDone };

struct Fiber {
  Stack stack;
  State state;
  // Where it waits, and with what.
  const char *operation;
  Site site;
  unsigned mask;
  void *mine;
  bool value;
};

struct SharedArray {
  const void *tag;
  const char *name;
  void *memory;
  size_t bytes;
  uint64_t block;  // whose values it holds
};

std::mutex one_launch;
struct Launch {
  const char *kernel;
  void (*body)(void *);
  void *context;
  std::vector<SharedArray> shared;
  uint64_t block = 0;  // a running number
  int barrier_count = 0;
  std::string error;
} *running = nullptr;
std::vector<Fiber> fibers;  // kept between launches
int current = -1;           // the fiber that runs, or -1
int threads = 0;            // of a block
std::vector<void *> scratch;

// What was never written reads as NaN, or as -1.
void poison(void *memory, size_t bytes) { std::memset(memory, 0xff, bytes); }

void *allocate(size_t bytes) {
  void *memory = nullptr;
  if (posix_memalign(&memory, 128, bytes ? bytes : 1) != 0) throw std::bad_alloc();
  poison(memory, bytes);
  return memory;
}

std::string block_name(unsigned block) {
  const unsigned x = block % gridDim.x, y = block / gridDim.x % gridDim.y, z = block / gridDim.x / gridDim.y;
  return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
}
unsigned running_block() { return (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x; }

std::string thread_name(int number) { return describe_thread(number, false); }

// Gives up the processor until the state is kReady again.
void wait(State state, const char *operation, Site site) {
  Fiber &fiber = fibers[current];
  fiber.state = state;
  fiber.operation = operation;
  fiber.site = site;
  fiber.stack.leave();
}

void run_fiber() {
  own_code = false;
  running->body(running->context);
  own_code = true;
  fibers[current].state = State::kDone;
  fibers[current].stack.leave_forever(true);
}

void resume(int number) {
  const unsigned n = static_cast<unsigned>(number);
  current = number;
  threadIdx = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
  fibers[number].stack.enter();
  current = -1;
  if (!running->error.empty()) throw std::runtime_error(running->error);
}

std::string where(const Fiber &fiber) {
  if (fiber.state == State::kDone) return "has returned";
  char mask[32] = "";
  if (fiber.state == State::kAtWarp) std::snprintf(mask, sizeof(mask), " with the mask 0x%08x", fiber.mask);
  return std::string("waits in ") + fiber.operation + mask + " (" + fiber.site.file + ":" +
         std::to_string(fiber.site.line) + ")";
}

bool same_site(const Fiber &a, const Fiber &b) {
  return a.site.line == b.site.line && std::strcmp(a.site.file, b.site.file) == 0;
}
bool meet(const Fiber &a, const Fiber &b) {
  return b.state == a.state && b.operation == a.operation && b.mask == a.mask && same_site(a, b);
}

[[noreturn]] void refuse(const std::string &what) {
  throw std::runtime_error(std::string("kernel ") + running->kernel + ", block " + block_name(running_block()) + ": " +
                           what);
}

// No thread can go on, and not all that are left wait at one barrier: names two that wait for each other.
[[noreturn]] void explain_deadlock() {
  for (int i = 0; i < threads; ++i) {
    if (fibers[i].state != State::kAtWarp) continue;
    for (int lane = 0; lane < kWarp; ++lane) {
      const int other = i / kWarp * kWarp + lane;
      if (!(fibers[i].mask >> lane & 1)) continue;
      if (other >= threads)
        refuse(thread_name(i) + " " + where(fibers[i]) + " for lane " + std::to_string(lane) + ", which is not there");
      if (!meet(fibers[i], fibers[other]))
        refuse(thread_name(i) + " " + where(fibers[i]) + " for " + thread_name(other) + ", which " +
               where(fibers[other]));
    }
  }
  refuse("no thread can go on");
}

// Opens the barrier if all threads that have not returned wait at it.
void open_barrier() {
  const Fiber *first = nullptr;
  int first_number = 0;
  running->barrier_count = 0;
  for (int i = 0; i < threads; ++i) {
    const Fiber &fiber = fibers[i];
    if (fiber.state == State::kDone) continue;
    if (fiber.state != State::kAtBarrier) explain_deadlock();
    if (!first) first = &fiber, first_number = i;
    if (!same_site(*first, fiber))
      refuse("divergent barrier: " + thread_name(first_number) + " " + where(*first) + ", " + thread_name(i) + " " +
             where(fiber));
    running->barrier_count += fiber.value;
  }
  for (int i = 0; i < threads; ++i)
    if (fibers[i].state == State::kAtBarrier) fibers[i].state = State::kReady;
  watch_barrier();
}

void run_block() {
  ++running->block;
  watch_block();
  for (int i = 0; i < threads; ++i) {
    fibers[i].state = State::kReady;
    fibers[i].stack.start(run_fiber);
  }
  for (int left = threads; left > 0;) {
    bool ran = false;
    for (int i = 0; i < threads; ++i) {
      if (fibers[i].state != State::kReady) continue;
      ran = true;
      resume(i);
      left -= fibers[i].state == State::kDone;
    }
    if (!ran) open_barrier();
  }
}

void check_size(dim3 grid, dim3 block, int64_t shared_bytes) {
  const uint64_t count = uint64_t(block.x) * block.y * block.z;
  if (count == 0 || count > kMostThreads || block.z > 64) throw std::runtime_error("invalid configuration argument");
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    throw std::runtime_error("invalid configuration argument");
  if (shared_bytes < 0 || size_t(shared_bytes) > kMostShared)
    throw std::runtime_error("more shared memory than an old GPU has: " + std::to_string(shared_bytes) + " bytes");
}

struct Cleanup {
  ~Cleanup() {
    for (const SharedArray &array : running->shared) std::free(array.memory);
    running = nullptr;
    current = -1;
  }
};

}  // namespace

bool own_code = false;

void launch(const char *kernel, dim3 grid, dim3 block, int64_t shared_bytes, void (*body)(void *), void *context) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  check_size(grid, block, shared_bytes);
  const std::lock_guard<std::mutex> lock(one_launch);
  Launch launch = {};
  launch.kernel = kernel;
  launch.body = body;
  launch.context = context;
  running = &launch;
  const Cleanup cleanup;
  launch.shared.push_back({nullptr, "dynamic", allocate(shared_bytes), size_t(shared_bytes), 0});
  gridDim = grid;
  blockDim = block;
  threads = static_cast<int>(block.x * block.y * block.z);
  if (fibers.size() < size_t(threads)) fibers.resize(threads);
  watch_launch();
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) run_block();
}

static void *of_this_block(SharedArray &array) {
  if (array.block != running->block) {
    poison(array.memory, array.bytes);
    watch_nothing_in(array.memory, array.bytes);
    array.block = running->block;
  }
  return array.memory;
}

void *shared_array(const void *tag, const char *name, size_t bytes) {
  const OwnCode own;
  size_t others = 0;
  for (size_t i = 1; i < running->shared.size(); ++i) {
    if (running->shared[i].tag == tag) return of_this_block(running->shared[i]);
    others += running->shared[i].bytes;
  }
  if (others + bytes > kMostStaticShared) fail("more than 48 KiB of shared memory in arrays: use NK_DYNAMIC_SHARED");
  if (others + bytes + running->shared[0].bytes > kMostShared) fail("more shared memory than an old GPU has");
  running->shared.push_back({tag, name, allocate(bytes), bytes, 0});
  return of_this_block(running->shared.back());
}

void *dynamic_shared() {
  const OwnCode own;
  return of_this_block(running->shared[0]);
}

size_t dynamic_shared_bytes() { return running->shared[0].bytes; }

int thread_in_block() { return current; }

int sync_block(Site site, bool value) {
  const OwnCode own;
  fibers[current].value = value;
  wait(State::kAtBarrier, "__syncthreads", site);
  return running->barrier_count;
}

void meet_lanes(const char *operation, Site site, unsigned mask, void *mine, Complete complete) {
  const OwnCode own;
  const int first = current / kWarp * kWarp;
  if (!(mask >> (current - first) & 1))
    fail(thread_name(current) + " is not in its own mask in " + operation + " (" + site.file + ":" +
         std::to_string(site.line) + ")");
  Fiber &fiber = fibers[current];
  fiber.state = State::kAtWarp;
  fiber.operation = operation;
  fiber.site = site;
  fiber.mask = mask;
  fiber.mine = mine;
  void *brought[kWarp] = {};
  bool all = true;
  for (int lane = kWarp - 1; lane >= 0 && all; --lane) {  // who comes last is most often the last one
    if (!(mask >> lane & 1)) continue;
    all = first + lane < threads && meet(fiber, fibers[first + lane]);
    if (all) brought[lane] = fibers[first + lane].mine;
  }
  if (!all) return fiber.stack.leave();
  complete(brought, mask);
  for (int lane = 0; lane < kWarp; ++lane)
    if (mask >> lane & 1) fibers[first + lane].state = State::kReady;
}

void fail(const std::string &what) {
  own_code = true;
  running->error = std::string("kernel ") + running->kernel + ", block " + block_name(running_block()) + ": " + what;
  fibers[current].stack.leave_forever(false);
  std::abort();
}

bool in_kernel() { return current >= 0; }
unsigned running_thread() { return running_block() * kMostThreads + static_cast<unsigned>(current); }

std::string describe_thread(unsigned thread, bool with_block) {
  const unsigned n = thread % kMostThreads, y = n / blockDim.x % blockDim.y, z = n / blockDim.x / blockDim.y;
  std::string name = "thread " + std::to_string(n % blockDim.x);
  if (blockDim.y > 1 || blockDim.z > 1)
    name = "thread (" + std::to_string(n % blockDim.x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
  return with_block ? name + " of block " + block_name(thread / kMostThreads) : name;
}

std::string describe_memory(const void *memory) {
  for (const SharedArray &array : running->shared) {
    const auto at = reinterpret_cast<uintptr_t>(memory) - reinterpret_cast<uintptr_t>(array.memory);
    if (at < array.bytes) return std::string("shared memory, ") + array.name + " + " + std::to_string(at) + " bytes";
  }
  return "global memory";
}

void *take_scratch(int64_t bytes) {
  scratch.push_back(allocate(bytes));
  return scratch.back();
}

void free_scratch() {
  for (void *memory : scratch) std::free(memory);
  scratch.clear();
}

bool on_fiber_stack(const void *memory) { return Stack::any_holds(memory); }

}  // namespace emulation
}  // namespace nk
