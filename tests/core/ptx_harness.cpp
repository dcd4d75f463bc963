// Runs kernels that translate.py made, by name: 64 threads in two warps, with one pointer as the parameter.
#include <map>
#include <stdexcept>

#include "machine.h"

namespace {

std::map<std::string, nk::ptx::Kernel> &kernels() {
  static std::map<std::string, nk::ptx::Kernel> all;
  return all;
}

std::string message;

struct Run {
  const nk::ptx::Kernel *kernel;
  void *data;
};

}  // namespace

nk::ptx::Registered::Registered(const char *name, void (*run)(const char *), std::vector<Parameter> parameters,
                                size_t shared_bytes, int most_threads) {
  kernels()[name] = {name, run, std::move(parameters), shared_bytes, most_threads};
}

extern "C" const char *run(const char *name, void *data) {
  try {
    Run run = {&kernels().at(name), data};
    nk::emulation::launch(
        name, 1, 64, run.kernel->shared_bytes,
        [](void *context) {
          const Run *run = static_cast<Run *>(context);
          run->kernel->run(reinterpret_cast<const char *>(&run->data));
        },
        &run);
    return "";
  } catch (const std::exception &error) {
    message = error.what();
    return message.c_str();
  }
}
