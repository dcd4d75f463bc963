// How the C ABI reports failure: a code, and a message of the calling thread.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "math/constants.h"

namespace nk {

void set_error(const std::string &message);

// Thrown before anything is launched by an operator that was given less scratch memory than it needs.
struct NeedsScratch {};

// Runs an operator's body; exceptions become error codes, since none may cross the C ABI.
template <class Body>
int guarded(const char *name, Body body) {
  try {
    body();
    return 0;
  } catch (const NeedsScratch &) {
    set_error(std::string(name) + ": needs more scratch memory (nk_use_scratch)");
    return NK_NEEDS_SCRATCH;
  } catch (const std::bad_alloc &) {
    set_error(std::string(name) + ": out of memory");
    return 2;
  } catch (const std::exception &error) {
    set_error(std::string(name) + ": " + error.what());
    return 1;
  }
}

}  // namespace nk
