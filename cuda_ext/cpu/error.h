// How the C ABI reports failure: a code, and a message of the calling thread.
#pragma once

#include <exception>
#include <new>
#include <string>

namespace nk {

void set_error(const std::string &message);

// Runs an operator's body; exceptions become error codes, since none may cross the C ABI.
template <class Body>
int guarded(const char *name, Body body) {
  try {
    body();
    return 0;
  } catch (const std::bad_alloc &) {
    set_error(std::string(name) + ": out of memory");
    return 2;
  } catch (const std::exception &error) {
    set_error(std::string(name) + ": " + error.what());
    return 1;
  }
}

}  // namespace nk
