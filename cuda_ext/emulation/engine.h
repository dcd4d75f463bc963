// The emulation's inside, as the words of device.h use it: see engine.cpp for how blocks run, races.cpp for how threads
// are watched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#ifdef NK_EMULATION_PTX
#include <vector_types.h>
#else
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};
#endif

// Of the thread that runs.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace nk {
namespace emulation {

// A place in the source. As a default argument it is the caller's.
struct Site {
  const char *file = "";
  int line = 0;
  static Site here(const char *file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

// Runs body(context) once for each thread of the grid, block by block. Throws std::runtime_error with what a kernel did
// wrong.
void launch(const char *kernel, dim3 grid, dim3 block, int64_t shared_bytes, void (*body)(void *), void *context);

// --- called by a kernel's threads --------------------------------------------------------------------------

// Memory of the running block: one allocation for each tag (a kernel's declaration), of exactly its size.
void *shared_array(const void *tag, const char *name, size_t bytes);
void *dynamic_shared();
size_t dynamic_shared_bytes();

int thread_in_block();

// Waits for all threads of the block; how many of them gave true.
int sync_block(Site site, bool value);

// Waits for the lanes of `mask`, each of which brings `mine`. The last one calls complete(what each brought, mask)
// while the others wait.
typedef void (*Complete)(void *const *lanes, unsigned mask);
void meet_lanes(const char *operation, Site site, unsigned mask, void *mine, Complete complete);

// Ends the launch with an error.
[[noreturn]] void fail(const std::string &what);

// An atomic operation is about to read and write here.
void touch_atomically(const void *memory, int bytes);

// --- called by the host -----------------------------------------------------------------------------------

void *take_scratch(int64_t bytes);
void free_scratch();

// --- between engine.cpp and races.cpp ----------------------------------------------------------------------

// While the emulation's own code runs in a kernel's thread, its memory isn't watched.
extern bool own_code;
struct OwnCode {
  OwnCode() { own_code = true; }
  ~OwnCode() { own_code = false; }
};

bool in_kernel();                         // whether a kernel's thread runs
bool on_fiber_stack(const void *memory);  // of any thread
std::string describe_thread(unsigned thread, bool with_block);
std::string describe_memory(const void *memory);  // the shared array in which it lies, or "global memory"
unsigned running_thread();                        // its number in the grid, blocks of kMostThreads
constexpr unsigned kMostThreads = 1024;

void watch_launch();                                      // forgets everything
void watch_block();                                       // a block begins
void watch_barrier();                                     // all of its threads met
void watch_warp_barrier(int warp, unsigned mask);         // these lanes met
void watch_nothing_in(const void *memory, size_t bytes);  // what was seen there is of another block

}  // namespace emulation
}  // namespace nk
