// A stack to run a function on, entered from the scheduler and left from within: the fibers' only machine-dependent
// part. AddressSanitizer is told of every change of stack.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

#ifndef __x86_64__
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace nk {
namespace emulation {

#ifdef __x86_64__

// Saves the registers that a function must keep on the stack, changes stacks, and takes them from the other one.
asm(R"(
.text
.p2align 4
nk_change_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
extern "C" __attribute__((visibility("hidden"))) void nk_change_stack(void **from, void *to) asm("nk_change_stack");

struct Context {
  void *top;
  void start(void *memory, size_t bytes, void (*work)()) {
    // As the function above leaves it: six registers, then where to return to, which sees an aligned stack.
    void **at = reinterpret_cast<void **>(static_cast<char *>(memory) + bytes) - 2;
    *at = reinterpret_cast<void *>(work);
    for (int i = 0; i < 6; ++i) *--at = nullptr;
    top = at;
  }
  static void change(Context *from, Context *to) { nk_change_stack(&from->top, to->top); }
};

#else

struct Context {
  ucontext_t state;
  void start(void *memory, size_t bytes, void (*work)()) {
    getcontext(&state);
    state.uc_stack.ss_sp = memory;
    state.uc_stack.ss_size = bytes;
    state.uc_link = nullptr;
    makecontext(&state, work, 0);
  }
  static void change(Context *from, Context *to) { swapcontext(&from->state, &to->state); }
};

#endif

class Stack {
 public:
  // `work` begins at the next `enter`; whatever ran here before is forgotten.
  void start(void (*work)()) {
    if (!memory_) memory_ = map();
    allow_all(memory_, finished_ ? kLastFrames : kBytes);
    finished_ = false;
    work_ = work;
    context_.start(memory_, kBytes, begin);
  }

  void enter() {
    inside_ = this;
    void *fake = nullptr;
    start_change(&fake, memory_, kBytes);
    Context::change(&outside_, &context_);
    finish_change(fake, nullptr, nullptr);
  }

  void leave() {
    start_change(&fake_, outside_memory_, outside_bytes_);
    Context::change(&context_, &outside_);
    finish_change(fake_, nullptr, nullptr);
  }

  // Not entered again before the next `start`. `finished`: no function is left on this stack but `work` itself.
  void leave_forever(bool finished) {
    finished_ = finished;
    start_change(nullptr, outside_memory_, outside_bytes_);
    Context::change(&context_, &outside_);
  }

  static bool any_holds(const void *memory) {
    const auto at = reinterpret_cast<uintptr_t>(memory);
    return at >= lowest_ && at < highest_;
  }

 private:
  static constexpr size_t kBytes = 256 * 1024, kGuard = 64 * 1024, kMost = 1024;
  static constexpr size_t kLastFrames = 4096;  // of `work` and what it calls to leave

  // All stacks lie in one piece of address space, of which the system gives what is used. Below each lies a gap that
  // can't be touched.
  static void *map() {
    static size_t used = 0;
    constexpr size_t kStride = kBytes + kGuard;
    if (!lowest_) {
      void *all = mmap(nullptr, kMost * kStride, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (all == MAP_FAILED) throw std::bad_alloc();
      lowest_ = reinterpret_cast<uintptr_t>(all);
      highest_ = lowest_ + kMost * kStride;
    }
    void *memory = reinterpret_cast<void *>(lowest_ + used++ * kStride + kGuard);
    if (mprotect(memory, kBytes, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    return memory;
  }

  static void begin() {
    finish_change(nullptr, &outside_memory_, &outside_bytes_);
    inside_->work_();
  }

#ifdef __SANITIZE_ADDRESS__
  // What functions that never returned marked as theirs, in the highest bytes of a stack.
  static void allow_all(void *memory, size_t bytes) {
    __asan_unpoison_memory_region(static_cast<char *>(memory) + kBytes - bytes, bytes);
  }
  static void start_change(void **fake, const void *bottom, size_t bytes) {
    __sanitizer_start_switch_fiber(fake, bottom, bytes);
  }
  static void finish_change(void *fake, const void **bottom, size_t *bytes) {
    __sanitizer_finish_switch_fiber(fake, bottom, bytes);
  }
#else
  static void allow_all(void *, size_t) {}
  static void start_change(void **, const void *, size_t) {}
  static void finish_change(void *, const void **, size_t *) {}
#endif

  inline static uintptr_t lowest_ = 0, highest_ = 0;
  inline static Stack *inside_ = nullptr;
  inline static Context outside_ = {};
  inline static const void *outside_memory_ = nullptr;
  inline static size_t outside_bytes_ = 0;

  void *memory_ = nullptr;
  void *fake_ = nullptr;
  bool finished_ = true;
  void (*work_)() = nullptr;
  Context context_ = {};
};

}  // namespace emulation
}  // namespace nk
