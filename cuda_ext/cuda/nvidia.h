// Launches and memory under nvcc: the calling thread's stream, and errors as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#define NK_DEVICE __device__ __forceinline__
#define NK_SHARED(type, name, count) __shared__ __align__(128) type name[count]
#define NK_DYNAMIC_SHARED(type, name)                                 \
  extern __shared__ __align__(128) unsigned char nk_dynamic_shared[]; \
  type *const name = reinterpret_cast<type *>(nk_dynamic_shared)

// Launches `kernel` (in parentheses if its name has commas) on the calling thread's stream; nothing for an empty grid.
#define NK_LAUNCH(kernel, grid, block, shared_bytes, ...)                                               \
  do {                                                                                                  \
    const dim3 nk_grid(grid), nk_block(block);                                                          \
    const int64_t nk_shared = shared_bytes;                                                             \
    if (nk::before_launch(#kernel, reinterpret_cast<const void *>(kernel), nk_grid, nk_shared)) {       \
      kernel<<<nk_grid, nk_block, static_cast<size_t>(nk_shared), nk::current_stream()>>>(__VA_ARGS__); \
      nk::after_launch(#kernel);                                                                        \
    }                                                                                                   \
  } while (false)

namespace nk {

cudaStream_t current_stream();

// Throws `what: CUDA's message` if `status` is an error.
void check_cuda(cudaError_t status, const char *what);

// Whether there is anything to launch. Asks for shared memory beyond what any kernel may have.
bool before_launch(const char *name, const void *kernel, dim3 grid, int64_t shared_bytes);
void after_launch(const char *name);

// Of the current device: what one block may have, dynamic and static together, and how many blocks of a kernel run at a
// time.
int64_t most_shared_bytes();
unsigned resident_blocks(const void *kernel, int threads, int64_t shared_bytes);
template <class... Arguments>
unsigned resident_blocks(void (*kernel)(Arguments...), int threads, int64_t shared_bytes) {
  return resident_blocks(reinterpret_cast<const void *>(kernel), threads, shared_bytes);
}

void begin_scratch();
void *take_scratch(int64_t bytes);  // aligned to 256 bytes
void end_scratch();
void require_scratch();  // throws NeedsScratch if more was taken than there is

// On the current stream. Only copy_to_host waits, and for this stream alone.
void fill_zero(void *to, int64_t bytes);
void copy_on_device(void *to, const void *from, int64_t bytes);
void copy_to_host(void *to, const void *from, int64_t bytes);

}  // namespace nk
