// CUDA's runtime for a machine without a GPU, as far as nerfkit's library and CUB call it. The library is the real one,
// host code and all; its kernels run as translate.py's C++ on the emulation's threads (../engine.cpp). Memory is the
// host's, everything is done when a call returns, and there is one device, of the generation NK_ARCHITECTURE.
//
// Beyond the emulation that g++ compiles, this shows: what is there only for nvcc (half.h, lanes.h, tensor_core.h,
// vectors of atomics), nvcc's optimiser with its choice of fused products, the host's use of CUDA, and CUB's own
// kernels. Not shown is what comes after PTX: ptxas, and with it registers and which numbers of a tile a lane holds;
// and of what engine.cpp lists, the order of memory, scheduling and speed.
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <stdexcept>

#include "machine.h"

namespace nk {
namespace ptx {
namespace {

// Static objects of other files come first.
std::map<std::string, Kernel> &kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}
// By the function that stands for the kernel on the host.
std::map<const void *, std::string> &names() {
  static std::map<const void *, std::string> all;
  return all;
}
Kernel &kernel_of(const void *stub) {
  const std::string &name = names().at(stub);
  const auto found = kernels().find(name);
  if (found == kernels().end()) throw std::runtime_error("kernel " + name + " was not translated");
  return found->second;
}

thread_local cudaError_t last_error = cudaSuccess;
thread_local std::string message;

struct Configuration {
  dim3 grid, block;
  size_t shared_bytes;
  void *stream;
};
thread_local std::vector<Configuration> configurations;

struct Run {
  const Kernel *kernel;
  const char *parameters;
};

cudaError_t fault(cudaError_t status, const std::string &what) {
  last_error = status;
  message = what;
  return status;
}

cudaError_t launch(const Kernel &kernel, dim3 grid, dim3 block, void **arguments, size_t shared_bytes) {
  std::vector<char> parameters(
      kernel.parameters.empty() ? 0 : kernel.parameters.back().at + kernel.parameters.back().bytes);
  for (size_t i = 0; i < kernel.parameters.size(); ++i)
    std::memcpy(parameters.data() + kernel.parameters[i].at, arguments[i], kernel.parameters[i].bytes);
  if (kernel.most_threads && int(block.x * block.y * block.z) > kernel.most_threads)
    return fault(cudaErrorInvalidValue, kernel.name + ": more threads than its launch bounds");
  if (shared_bytes > kernel.most_dynamic_shared)
    return fault(cudaErrorInvalidValue, kernel.name + ": more dynamic shared memory than was asked for");
  Run run = {&kernel, parameters.data()};
  try {
    emulation::launch(
        kernel.name.c_str(), grid, block, kernel.shared_bytes + shared_bytes,
        [](void *context) {
          const Run *run = static_cast<Run *>(context);
          run->kernel->run(run->parameters);
        },
        &run);
  } catch (const std::exception &error) {
    return fault(cudaErrorLaunchFailure, error.what());
  }
  return cudaSuccess;
}

}  // namespace

Registered::Registered(const char *name, void (*run)(const char *), std::vector<Parameter> parameters,
                       size_t shared_bytes, int most_threads) {
  kernels()[name] = {name, run, std::move(parameters), shared_bytes, most_threads};
}

}  // namespace ptx
}  // namespace nk

using namespace nk::ptx;

extern "C" {

// --- what nvcc's code calls when the library is loaded, and around each launch ---------------------------------------

void **__cudaRegisterFatBinary(void *) {
  static void *nothing = nullptr;
  return &nothing;
}
void __cudaRegisterFatBinaryEnd(void **) {}
void __cudaUnregisterFatBinary(void **) {}
void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int) {}
void __cudaRegisterFunction(void **, const char *stub, char *, const char *name, int, uint3 *, uint3 *, dim3 *, dim3 *,
                            int *) {
  names()[stub] = name;
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, void *stream) {
  configurations.push_back({grid, block, shared_bytes, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared_bytes, void *stream) {
  const Configuration last = configurations.back();
  configurations.pop_back();
  *grid = last.grid, *block = last.block, *shared_bytes = last.shared_bytes;
  *static_cast<void **>(stream) = last.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *stub) {
  *kernel = reinterpret_cast<cudaKernel_t>(&kernel_of(stub));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared_bytes,
                               cudaStream_t) {
  return launch(*reinterpret_cast<Kernel *>(kernel), grid, block, arguments, shared_bytes);
}
cudaError_t cudaLaunchKernel(const void *stub, dim3 grid, dim3 block, void **arguments, size_t shared_bytes,
                             cudaStream_t) {
  return launch(kernel_of(stub), grid, block, arguments, shared_bytes);
}

// --- errors ----------------------------------------------------------------------------------------------------------

cudaError_t cudaGetLastError() {
  const cudaError_t status = last_error;
  last_error = cudaSuccess;
  return status;
}
cudaError_t cudaPeekAtLastError() { return last_error; }
const char *cudaGetErrorString(cudaError_t status) {
  if (message.empty()) message = "CUDA error " + std::to_string(status);  // one of CUB's own
  return message.c_str();
}

// --- the device ------------------------------------------------------------------------------------------------------

cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
  const std::map<cudaDeviceAttr, int> known = {
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, NK_MOST_SHARED},
      {cudaDevAttrMultiProcessorCount, 3},  // few, so that kernels whose blocks stay have more than one round
      {cudaDevAttrComputeCapabilityMajor, NK_ARCHITECTURE / 10},
      {cudaDevAttrComputeCapabilityMinor, NK_ARCHITECTURE % 10},
      {cudaDevAttrMaxGridDimX, 0x7fffffff},
      {cudaDevAttrMaxGridDimY, 65535},
  };
  const auto found = known.find(attribute);
  if (found == known.end())
    return fault(cudaErrorInvalidValue, "the emulated device has no attribute " + std::to_string(attribute));
  *value = found->second;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void *stub, cudaFuncAttribute attribute, int value) {
  Kernel &kernel = kernel_of(stub);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || kernel.shared_bytes + value > NK_MOST_SHARED)
    return fault(cudaErrorInvalidValue, kernel.name + ": an attribute that it can't have");
  kernel.most_dynamic_shared = value;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *stub) {
  *attributes = {};
  attributes->sharedSizeBytes = kernel_of(stub).shared_bytes;
  attributes->maxThreadsPerBlock = 1024;
  attributes->ptxVersion = attributes->binaryVersion = NK_ARCHITECTURE;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *, int, size_t, unsigned) {
  *blocks = 1;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *, int, size_t) {
  *blocks = 1;
  return cudaSuccess;
}

// --- memory and streams ----------------------------------------------------------------------------------------------

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned) {
  *memory = std::calloc(1, bytes);
  return cudaSuccess;
}
}
