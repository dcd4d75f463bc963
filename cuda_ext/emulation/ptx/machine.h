// What translate.py's statements say: registers are whole numbers as wide as PTX has them, values typed ones.
// Threads, barriers and shared memory are the emulation's (../engine.h).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "../engine.h"

namespace nk {
namespace ptx {

using emulation::fail;
using emulation::Site;

// --- kernels -------------------------------------------------------------------------------------------------------

struct Parameter {
  size_t at, bytes;
};
struct Kernel {
  std::string name;
  void (*run)(const char *parameters);
  std::vector<Parameter> parameters;
  size_t shared_bytes;                     // static
  int most_threads;                        // of a block; 0: as many as there can be
  size_t most_dynamic_shared = 48 * 1024;  // more has to be asked for
};
struct Registered {
  Registered(const char *name, void (*run)(const char *), std::vector<Parameter> parameters, size_t shared_bytes,
             int most_threads);
};

// --- values --------------------------------------------------------------------------------------------------------

struct Half {
  _Float16 bits;
  Half() = default;
  explicit Half(double x) : bits(static_cast<_Float16>(x)) {}
  operator float() const { return static_cast<float>(bits); }
};
struct Halves {
  Half x, y;
};

// Of what a register holds, as many low bytes as the type has; the host is little-endian, as GPUs are.
template <class To, class From>
To as(From from) {
  if constexpr (std::is_same_v<To, bool>) {
    return from != 0;
  } else {
    const uint64_t bits = static_cast<uint64_t>(from);
    To to;
    static_assert(sizeof(to) <= sizeof(bits));
    std::memcpy(&to, &bits, sizeof(to));
    return to;
  }
}

// Into a register: fractions as their bits, whole numbers extended by their sign.
template <class Register, class T>
void set(Register &to, T value) {
  if constexpr (std::is_integral_v<T>) {
    to = static_cast<Register>(value);
  } else {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(value));
    to = static_cast<Register>(bits);
  }
}

// To reckon with: halves as floats.
template <class T>
T number(T x) {
  return x;
}
inline float number(Half x) { return x; }

// --- arithmetic ----------------------------------------------------------------------------------------------------

// Of a number and NaN, the number.
template <class T>
T least(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fmin(a, b);
  else
    return a < b ? a : b;
}
template <class T>
T greatest(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fmax(a, b);
  else
    return a < b ? b : a;
}
template <class T>
T saturated(T x) {
  return x > 0 ? (x < 1 ? x : T(1)) : T(0);
}

template <class T>
T shifted_left(T x, uint32_t by) {
  return by < 8 * sizeof(T) ? static_cast<T>(x << by) : T(0);
}
template <class T>
T shifted_right(T x, uint32_t by) {
  return static_cast<T>(by < 8 * sizeof(T) ? x >> by : x < 0 ? T(-1) : T(0));
}
template <class T>
T high_product(T a, T b) {
  using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
  return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b) >> 8 * sizeof(T));
}
template <class T>
uint32_t leading_zeros(T x) {
  return x ? __builtin_clzll(x) - (64 - 8 * sizeof(T)) : 8 * sizeof(T);
}
template <class T>
uint32_t ones(T x) {
  return __builtin_popcountll(x);
}
template <class T>
T reversed(T x) {
  T out = 0;
  for (size_t i = 0; i < 8 * sizeof(T); ++i) out |= (x >> i & 1) << (8 * sizeof(T) - 1 - i);
  return out;
}
template <class T>
uint32_t highest_bit(T x) {
  static_assert(std::is_unsigned_v<T>);
  return x ? 8 * sizeof(T) - 1 - leading_zeros(x) : 0xffffffffu;
}
inline uint64_t low_bits(uint32_t count) { return count < 64 ? (uint64_t(1) << count) - 1 : ~uint64_t(0); }
// `count` bits of `a`, put into `b` from `at` on.
template <class T>
T bfi(T a, T b, uint32_t at, uint32_t count) {
  const uint32_t from = at & 0xff, width = 8 * sizeof(T);
  if (from >= width) return b;
  const T mask = static_cast<T>(low_bits(std::min(count & 0xff, width - from)) << from);
  return static_cast<T>((b & ~mask) | (T(a << from) & mask));
}
// `count` bits of `a` from `from` on.
template <class T>
T bfe(T a, uint32_t from, uint32_t count) {
  return static_cast<T>(shifted_right(a, from & 0xff) & low_bits(count & 0xff));
}
inline uint32_t two_products(uint32_t a, uint32_t b, uint32_t sum) {
  return sum + (a & 0xffff) * (b & 0xff) + (a >> 16) * (b >> 8 & 0xff);
}
inline uint32_t funnel_left(uint32_t low, uint32_t high, uint32_t by) {
  return static_cast<uint32_t>((uint64_t(high) << 32 | low) << (by & 31) >> 32);
}
inline uint32_t funnel_right(uint32_t low, uint32_t high, uint32_t by) {
  return static_cast<uint32_t>((uint64_t(high) << 32 | low) >> (by & 31));
}
inline uint32_t bmsk(uint32_t at, uint32_t count) {
  return at < 32 ? static_cast<uint32_t>(low_bits(std::min(count, 32u)) << at) : 0;
}
// Four of the eight bytes of a and b.
inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t which) {
  const uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t one = which >> 4 * i & 0xf;
    uint32_t byte = bytes >> 8 * (one & 7) & 0xff;
    if (one & 8) byte = byte & 0x80 ? 0xff : 0;
    out |= byte << 8 * i;
  }
  return out;
}
// NaN becomes 0, or the lowest in 64 bits; what is out of bounds, the bound.
template <class T, class F>
T to_whole(F x) {
  if (x != x) return sizeof(T) == 8 ? T(uint64_t(1) << 63) : T(0);
  constexpr double kEnd = std::is_signed_v<T> ? double(uint64_t(1) << (8 * sizeof(T) - 1))
                                              : 2.0 * double(uint64_t(1) << (8 * sizeof(T) - 1));
  if (double(x) >= kEnd) return std::numeric_limits<T>::max();
  if (double(x) < (std::is_signed_v<T> ? -kEnd : 0.0)) return std::numeric_limits<T>::min();
  return static_cast<T>(x);
}
inline uint32_t packed_halves(float high, float low, bool finite) {
  const auto half = [&](float x) {
    if (finite) x = x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x;
    const _Float16 narrow = static_cast<_Float16>(x);
    uint16_t bits;
    std::memcpy(&bits, &narrow, 2);
    return uint32_t(bits);
  };
  return half(high) << 16 | half(low);
}
template <class F, class... Pairs>
uint32_t by_halves(F f, Pairs... pairs) {
  return packed_halves(f(float(as<Half>(pairs >> 16))...), f(float(as<Half>(pairs))...), false);
}

// --- memory --------------------------------------------------------------------------------------------------------

// Static arrays first, then what the launch asked for. Its addresses are what PTX calculates with.
inline char *shared_memory() { return static_cast<char *>(emulation::dynamic_shared()); }
inline char *in_shared(uint64_t address) {
  const uint32_t at = static_cast<uint32_t>(address);
  if (at >= emulation::dynamic_shared_bytes())
    fail("byte " + std::to_string(at) + " is beyond its " + std::to_string(emulation::dynamic_shared_bytes()) +
         " bytes of shared memory");
  return shared_memory() + at;
}
inline uint64_t generic_from_shared(uint64_t address) {
  return reinterpret_cast<uint64_t>(shared_memory()) + static_cast<uint32_t>(address);
}
inline uint64_t shared_from_generic(uint64_t address) { return address - reinterpret_cast<uint64_t>(shared_memory()); }
inline char *at(uint64_t base, int64_t offset) { return reinterpret_cast<char *>(base + offset); }

template <size_t kBytes, class Byte>
Byte *aligned(Byte *memory) {
  if (reinterpret_cast<uintptr_t>(memory) % kBytes != 0)
    fail("misaligned address for " + std::to_string(kBytes) + " bytes");
  return memory;
}

template <class T, int kCount>
struct Words {
  T x[kCount];
};
template <class T, int kCount>
Words<T, kCount> load(const char *from) {
  Words<T, kCount> words;
  std::memcpy(&words, aligned<sizeof(words)>(from), sizeof(words));
  return words;
}
template <class T, int kCount>
void store(char *to, Words<T, kCount> words) {
  std::memcpy(aligned<sizeof(words)>(to), &words, sizeof(words));
}

template <class T, class Change>
T change(char *memory, Change next) {
  emulation::touch_atomically(memory, sizeof(T));
  T old;
  std::memcpy(&old, aligned<sizeof(T)>(memory), sizeof(T));
  const T now = next(old);
  std::memcpy(memory, &now, sizeof(T));
  return old;
}
template <class T>
T atomic_add(char *memory, T v) {
  return change<T>(memory, [&](T old) {
    if constexpr (std::is_same_v<T, Halves>)
      return as<Halves>(packed_halves(old.y + v.y, old.x + v.x, false));
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(std::make_unsigned_t<T>(old) + std::make_unsigned_t<T>(v));
    else
      return old + v;
  });
}
#define NK_PTX_ATOMIC(name, result)                               \
  template <class T>                                              \
  T atomic_##name(char *memory, T v) {                            \
    return change<T>(memory, [&](T old) -> T { return result; }); \
  }
NK_PTX_ATOMIC(min, least(old, v))
NK_PTX_ATOMIC(max, greatest(old, v))
NK_PTX_ATOMIC(and, old &v)
NK_PTX_ATOMIC(or, old | v)
NK_PTX_ATOMIC(xor, old ^ v)
NK_PTX_ATOMIC(exch, v)
NK_PTX_ATOMIC(inc, old >= v ? T(0) : T(old + 1))
#undef NK_PTX_ATOMIC
template <class T>
T atomic_cas(char *memory, T expected, T v) {
  return change<T>(memory, [&](T old) { return old == expected ? v : old; });
}

// --- barriers and warps --------------------------------------------------------------------------------------------

inline int lane() { return emulation::thread_in_block() % 32; }
// A thread waits for another block: here, blocks before it are done and blocks behind it never begin.
inline void spin() { fail("waits for what will never come"); }

struct Meeting {
  uint64_t brought;
  uint64_t got[32];
};
inline void exchange(void *const *lanes, unsigned mask) {
  for (int i = 0; i < 32; ++i)
    for (int j = 0; j < 32 && (mask >> i & 1); ++j)
      if (mask >> j & 1) static_cast<Meeting *>(lanes[i])->got[j] = static_cast<Meeting *>(lanes[j])->brought;
}
inline void only_meet(void *const *, unsigned mask) {
  emulation::watch_warp_barrier(emulation::thread_in_block() / 32, mask);
}
// What each lane of the mask brought.
inline Meeting all_lanes(const char *what, Site site, uint32_t mask, uint64_t mine) {
  Meeting meeting = {mine, {}};
  emulation::meet_lanes(what, site, mask, &meeting, exchange);
  return meeting;
}
inline void meet_warp(Site site, uint32_t mask) {
  emulation::meet_lanes("bar.warp.sync", site, mask, nullptr, only_meet);
}

struct Shuffled {
  uint32_t value;
  bool inside;
};
inline Shuffled shuffle(Site site, uint32_t value, int from, bool inside, uint32_t mask) {
  if (!inside) from = lane();
  if (!(mask >> from & 1)) fail("reads from lane " + std::to_string(from) + " in a shuffle, which is not in the mask");
  return {static_cast<uint32_t>(all_lanes("shfl.sync", site, mask, value).got[from]), inside};
}
// The segments of `how`: bits 8 to 12 say which bits of a lane's number name its segment, bits 0 to 4 where it ends.
struct Segment {
  int first, last;
  explicit Segment(uint32_t how) {
    const int of_segment = how >> 8 & 31;
    first = lane() & of_segment;
    last = first | ((how & 31) & ~of_segment);
  }
};
inline Shuffled shuffle_up(Site site, uint32_t value, uint32_t by, uint32_t how, uint32_t mask) {
  const int from = lane() - static_cast<int>(by & 31);
  return shuffle(site, value, from, from >= Segment(how).last, mask);
}
inline Shuffled shuffle_down(Site site, uint32_t value, uint32_t by, uint32_t how, uint32_t mask) {
  const int from = lane() + static_cast<int>(by & 31);
  return shuffle(site, value, from, from <= Segment(how).last, mask);
}
inline Shuffled shuffle_bfly(Site site, uint32_t value, uint32_t with, uint32_t how, uint32_t mask) {
  const int from = lane() ^ static_cast<int>(with & 31);
  return shuffle(site, value, from, from <= Segment(how).last, mask);
}
inline Shuffled shuffle_idx(Site site, uint32_t value, uint32_t which, uint32_t how, uint32_t mask) {
  const Segment segment(how);
  const int from = segment.first | (which & ~(how >> 8) & 31);
  return shuffle(site, value, from, from <= segment.last, mask);
}

inline uint32_t vote_ballot(Site site, bool mine, uint32_t mask) {
  const Meeting votes = all_lanes("vote.sync", site, mask, mine);
  uint32_t out = 0;
  for (int i = 0; i < 32; ++i) out |= uint32_t(mask >> i & 1 && votes.got[i]) << i;
  return out;
}
inline bool vote_any(Site site, bool mine, uint32_t mask) { return vote_ballot(site, mine, mask) != 0; }
inline bool vote_all(Site site, bool mine, uint32_t mask) { return vote_ballot(site, mine, mask) == mask; }
inline uint32_t match_any(Site site, uint64_t mine, uint32_t mask) {
  const Meeting values = all_lanes("match.sync", site, mask, mine);
  uint32_t out = 0;
  for (int i = 0; i < 32; ++i) out |= uint32_t(mask >> i & 1 && values.got[i] == mine) << i;
  return out;
}
inline bool reduce_or(Site site, bool mine) { return emulation::sync_block(site, mine) > 0; }
inline bool reduce_and(Site site, bool mine) { return emulation::sync_block(site, !mine) == 0; }
inline uint32_t reduce_popc(Site site, bool mine) { return emulation::sync_block(site, mine); }

// --- tensor cores --------------------------------------------------------------------------------------------------

// Eight registers of a lane: of a and b, in the first four, eight halves of the tile's rows from number 8 * lane on; of
// c, as many floats.
struct Tile {
  uint32_t x[8];
};
enum Layout { kRow, kCol };
constexpr uint32_t kWholeWarp = 0xffffffffu;

inline void nothing(void *const *, unsigned) {}

template <class T, Layout kLayout>
int64_t place_in_tile(int i, int64_t leading) {
  const int of_tile = 8 * lane() + i, row = of_tile / 16, column = of_tile % 16;
  return int64_t(sizeof(T)) * (kLayout == kRow ? row * leading + column : column * leading + row);
}
template <class T>
void check_tile(const char *memory, uint32_t leading) {
  aligned<32>(memory);
  if (leading * sizeof(T) % 16 != 0) fail("a tile's leading dimension must be a multiple of 16 bytes");
}

template <class T, Layout kLayout>
Tile load_tile(Site site, const char *memory, uint32_t leading) {
  check_tile<T>(memory, leading);
  emulation::meet_lanes("wmma.load", site, kWholeWarp, nullptr, nothing);
  Tile tile = {};
  for (int i = 0; i < 8; ++i)
    std::memcpy(reinterpret_cast<char *>(tile.x) + sizeof(T) * i, memory + place_in_tile<T, kLayout>(i, leading),
                sizeof(T));
  return tile;
}
template <Layout kLayout>
void store_tile(Site site, char *memory, Tile tile, uint32_t leading) {
  check_tile<float>(memory, leading);
  emulation::meet_lanes("wmma.store", site, kWholeWarp, nullptr, nothing);
  for (int i = 0; i < 8; ++i) std::memcpy(memory + place_in_tile<float, kLayout>(i, leading), &tile.x[i], 4);
}

struct TileProduct {
  Tile a, b, c;
};
inline void multiply(void *const *lanes, unsigned) {
  Half a[16][16], b[16][16];
  for (int i = 0; i < 256; ++i) {
    const auto *product = static_cast<const TileProduct *>(lanes[i / 8]);
    std::memcpy(&a[i / 16][i % 16], reinterpret_cast<const char *>(product->a.x) + 2 * (i % 8), 2);
    std::memcpy(&b[i / 16][i % 16], reinterpret_cast<const char *>(product->b.x) + 2 * (i % 8), 2);
  }
  for (int i = 0; i < 256; ++i) {
    uint32_t &bits = static_cast<TileProduct *>(lanes[i / 8])->c.x[i % 8];
    float sum = as<float>(bits);
    for (int k = 0; k < 16; ++k) sum += float(a[i / 16][k]) * float(b[k][i % 16]);
    set(bits, sum);
  }
}
inline Tile multiply_tiles(Site site, Tile a, Tile b, Tile c) {
  TileProduct product = {a, b, c};
  emulation::meet_lanes("wmma.mma", site, kWholeWarp, &product, multiply);
  return product.c;
}

}  // namespace ptx
}  // namespace nk
