// Finds threads that touch the same memory with no barrier between them, one of them writing.
//
// The .cu files of the second build are compiled with -fsanitize=thread, which calls a function before every access to
// memory. Those functions are defined here, in the place of ThreadSanitizer's library, which knows nothing of fibers.
// For every four bytes that a launch touches we keep who last wrote, and the last two threads that read. A second
// thread must be ordered after them: by __syncthreads if both are in a block, or by __syncwarp if both are in a warp.
// Nothing orders blocks. Atomic operations may meet each other, but no plain access. Also the same value written twice
// is a race.
//
// Missed are readers before the last two, and what memset, memcpy and others do outside of compiled code.
#include <dlfcn.h>

#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>

#include "engine.h"

namespace nk {
namespace emulation {
namespace {

constexpr int kWarp = 32;
enum Kind { kRead, kWrite, kAtomic };

struct Access {
  unsigned thread;
  unsigned time;
  unsigned bytes;  // of the four, a bit each; 0: there was none
};
struct Word {
  unsigned launch;
  Access write, atomic, reads[2];
};
constexpr uintptr_t kPageBytes = 4096;
struct Page {
  Word words[kPageBytes / 4];
};

std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
uintptr_t last_page_number = 0;
Page *last_page = nullptr;
unsigned launch_number = 0;

unsigned now = 0;           // counts barriers of any kind
unsigned last_barrier = 0;  // of the running block; what its threads did before is ordered before what they do now
unsigned known[kMostThreads / kWarp][kWarp][kWarp];  // [warp][a][b]: until when lane a knows what lane b has done

Word &word_at(uintptr_t address) {
  const uintptr_t number = address / kPageBytes;
  if (number != last_page_number || !last_page) {
    auto &page = pages[number];
    if (!page) page = std::make_unique<Page>();
    last_page_number = number;
    last_page = page.get();
  }
  Word &word = last_page->words[address % kPageBytes / 4];
  if (word.launch != launch_number) {
    word = {};
    word.launch = launch_number;
  }
  return word;
}

bool ordered(const Access &before, unsigned thread) {
  if (before.bytes == 0 || before.thread == thread) return true;
  if (before.thread / kMostThreads != thread / kMostThreads) return false;
  if (before.time < last_barrier) return true;
  const unsigned a = thread % kMostThreads, b = before.thread % kMostThreads;
  return a / kWarp == b / kWarp && before.time < known[a / kWarp][a % kWarp][b % kWarp];
}

// The source line of an instruction of this library, if addr2line is there.
std::string line_of(const void *instruction) {
  Dl_info info;
  if (!dladdr(instruction, &info)) return "";
  char command[1024], line[1024] = "";
  std::snprintf(command, sizeof(command), "addr2line -e '%s' 0x%zx 2>/dev/null", info.dli_fname,
                size_t(static_cast<const char *>(instruction) - static_cast<const char *>(info.dli_fbase) - 1));
  if (FILE *pipe = popen(command, "r")) {
    if (!std::fgets(line, sizeof(line), pipe)) line[0] = 0;
    pclose(pipe);
  }
  const std::string text(line);
  return text.empty() || text[0] == '?' ? "" : " (" + text.substr(0, text.find_first_of("\n ")) + ")";
}

[[noreturn]] void refuse(const Access &before, const char *did, unsigned thread, const char *does, uintptr_t address,
                         const void *instruction) {
  const bool blocks = before.thread / kMostThreads != thread / kMostThreads;
  fail("race: " + describe_thread(before.thread, blocks) + " " + did + " and " + describe_thread(thread, blocks) + " " +
       does + line_of(instruction) + " the same word of " + describe_memory(reinterpret_cast<void *>(address)) +
       (blocks ? "; nothing orders blocks" : " with no barrier between them"));
}

void touch_word(uintptr_t address, unsigned bytes, Kind kind, const void *instruction) {
  static const char *const kDoes[] = {"reads", "writes", "atomically changes"};
  Word &word = word_at(address);
  const unsigned thread = running_thread();
  const Access access = {thread, now, bytes};
  const auto check = [&](const Access &before, const char *did) {
    if ((before.bytes & bytes) && !ordered(before, thread))
      refuse(before, did, thread, kDoes[kind], address, instruction);
  };
  check(word.write, "wrote");
  if (kind != kAtomic) check(word.atomic, "atomically changed");
  if (kind == kRead) {
    Access &first = word.reads[0];
    if (first.thread != thread) word.reads[1] = first;
    first = {thread, now, first.thread == thread && first.time == now ? first.bytes | bytes : bytes};
    return;
  }
  check(word.reads[0], "read");
  check(word.reads[1], "read");
  (kind == kWrite ? word.write : word.atomic) = access;
}

void touch(const void *memory, int bytes, Kind kind, const void *instruction) {
  if (own_code || !in_kernel() || on_fiber_stack(memory)) return;
  const OwnCode own;
  uintptr_t at = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t end = at + bytes;
  while (at < end) {
    const uintptr_t word = at & ~uintptr_t(3), next = word + 4 < end ? word + 4 : end;
    const unsigned from = at - word, to = next - word;
    touch_word(word, ((1u << to) - 1) & ~((1u << from) - 1), kind, instruction);
    at = next;
  }
}

}  // namespace

void watch_launch() {
  ++launch_number;
  now = last_barrier = 0;
  constexpr size_t kMostPages = 4096;
  if (pages.size() > kMostPages) {
    pages.clear();
    last_page = nullptr;
  }
}

void watch_block() {
  last_barrier = ++now;
  for (auto &warp : known)
    for (auto &lane : warp)
      for (unsigned &time : lane) time = 0;
}

void watch_barrier() { last_barrier = ++now; }

// What one of the lanes knew, they all know now.
void watch_warp_barrier(int warp, unsigned mask) {
  ++now;
  auto &lanes = known[warp];
  unsigned joined[kWarp] = {};
  for (int a = 0; a < kWarp; ++a)
    for (int b = 0; b < kWarp; ++b)
      if ((mask >> a & 1) && lanes[a][b] > joined[b]) joined[b] = lanes[a][b];
  for (int a = 0; a < kWarp; ++a)
    for (int b = 0; b < kWarp; ++b)
      if (mask >> a & 1) lanes[a][b] = mask >> b & 1 ? now : joined[b];
}

void watch_nothing_in(const void *memory, size_t bytes) {
  if (pages.empty()) return;
  const uintptr_t first = reinterpret_cast<uintptr_t>(memory) & ~uintptr_t(3);
  for (uintptr_t at = first; at < reinterpret_cast<uintptr_t>(memory) + bytes; at += 4)
    if (pages.count(at / kPageBytes)) word_at(at) = {launch_number, {}, {}, {}};
}

void touch_atomically(const void *memory, int bytes) {
#ifdef NK_EMULATION_RACES
  touch(memory, bytes, kAtomic, __builtin_return_address(0));
#else
  (void)memory;
  (void)bytes;
#endif
}

}  // namespace emulation
}  // namespace nk

#ifdef NK_EMULATION_RACES

// What the compiler calls. An instruction's own address is one before the one that is returned to.
extern "C" {
#define NK_WATCH(bytes)                                                                 \
  void __tsan_read##bytes(void *p) {                                                    \
    nk::emulation::touch(p, bytes, nk::emulation::kRead, __builtin_return_address(0));  \
  }                                                                                     \
  void __tsan_write##bytes(void *p) {                                                   \
    nk::emulation::touch(p, bytes, nk::emulation::kWrite, __builtin_return_address(0)); \
  }                                                                                     \
  void __tsan_unaligned_read##bytes(void *p) {                                          \
    nk::emulation::touch(p, bytes, nk::emulation::kRead, __builtin_return_address(0));  \
  }                                                                                     \
  void __tsan_unaligned_write##bytes(void *p) {                                         \
    nk::emulation::touch(p, bytes, nk::emulation::kWrite, __builtin_return_address(0)); \
  }                                                                                     \
  void __tsan_volatile_read##bytes(void *p) { __tsan_read##bytes(p); }                  \
  void __tsan_volatile_write##bytes(void *p) { __tsan_write##bytes(p); }
NK_WATCH(1)
NK_WATCH(2)
NK_WATCH(4)
NK_WATCH(8)
NK_WATCH(16)
#undef NK_WATCH
void __tsan_read_range(void *p, size_t bytes) {
  nk::emulation::touch(p, static_cast<int>(bytes), nk::emulation::kRead, __builtin_return_address(0));
}
void __tsan_write_range(void *p, size_t bytes) {
  nk::emulation::touch(p, static_cast<int>(bytes), nk::emulation::kWrite, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
}

#endif
