// What operators on every device refuse by their numbers alone. Params is an operator's struct.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "math/constants.h"
#include "math/frequency.h"
#include "math/hash_grid.h"

namespace nk {

inline void require(bool good, const char *message) {
  if (!good) throw std::invalid_argument(message);
}

NK_HD bool is_aligned(const void *array) { return reinterpret_cast<uintptr_t>(array) % 16 == 0; }

template <class Params>
void check_adam(const Params *p) {
  if (p->L < 1 || p->L > NK_ADAM_RATES)
    throw std::invalid_argument("there must be 1 to " + std::to_string(NK_ADAM_RATES) + " learning rates, got " +
                                std::to_string(p->L));
  require(!p->drawn || (p->R > 0 && p->P % p->R == 0) || p->P == 0, "drawn must mark rows of equal length");
}

template <class Params>
void check_draw_mesh(const Params *p) {
  require(p->H >= 1 && p->W >= 1 && p->H < 1 << 20 && p->W < 1 << 20, "a picture must have 1 to 2^20 pixels a side");
}

template <class Params>
void check_photo_colors(const Params *p) {
  require(p->H >= 3 && p->W >= 3 && int64_t(p->H) * p->W < 1ll << 31,
          "a photo must have 3 pixels a side, and less than 2^31");
}

template <class Params>
void check_frequency(const Params *p) {
  require(p->L >= 0 && p->L <= kMostFrequencies, "frequencies must be 0 to 24");
  require(p->W == 3 + 6 * p->L, "features must have 3 + 6 * frequencies columns");
}

// Level l of a hash grid, by arrays on the host.
template <class Params>
GridLevel level_of(const Params *p, int l) {
  GridLevel level;
  if (!grid_level(p->resolutions[l], p->offsets[l], p->offsets[l + 1], p->P, &level))
    throw std::invalid_argument("level " + std::to_string(l) + " has no valid resolution or number of entries");
  return level;
}

template <class Params>
void check_hash_encode(const Params *p) {
  require(p->LF == p->L * p->F, "features must have levels * features columns");
  require(p->L1 == p->L + 1, "offsets must have one entry more than there are levels");
  require((p->table == nullptr) != (p->half_table == nullptr), "there must be one table, of floats or of halfs");
  for (int l = 0; l < p->L; ++l) level_of(p, l);
}

template <class Params>
void check_march(const Params *p) {
  require(p->G >= 8 && p->G % 8 == 0 && int64_t(p->B) * 8 == int64_t(p->K) * p->G * p->G * p->G,
          "the grid must have K * G^3 bits, with G a multiple of 8");
  require(p->least_step > 0.0f && p->most_step >= p->least_step,
          "steps must be positive, the least at most the largest");
}

// The length of `offsets`; what they hold, only the device itself can see.
template <class Params>
void check_rays(const Params *p) {
  require(p->R1 == int64_t(p->R) + 1, "offsets must have one entry more than there are rays");
}

// A note of an instance is its tile and, in the lowest 8 bits, the parts of it that the splat reaches.
template <class Params>
void check_tiles(const Params *p) {
  if (p->T >= 1 << 23) throw std::length_error("more than 2^23 tiles; render a smaller image");
}

inline void check_pairs(int64_t pairs) {
  if (pairs > INT32_MAX) throw std::length_error("more than 2^31 (splat, tile) pairs; render a smaller image");
}

// Depth changes over the pixels of a splat.
template <class Params>
void check_slopes(const Params *p) {
  require(p->slopes || p->C == 3 || p->N == 0, "slopes are needed to draw the depth");
}

template <class Params>
void check_slope_grad(const Params *p) {
  require(p->grad_slopes || p->C == 3 || p->N == 0, "grad_slopes are needed with the depth");
}

template <class Params>
void check_median(const Params *p) {
  require(!p->median_depth || p->C > 3, "the median depth needs the depth among the channels");
}

// Calls work(std::integral_constant) with the number of channels that the rasterizer draws.
template <class Work>
void with_layers(int channels, Work work) {
  switch (channels) {
    case 3:
      return work(std::integral_constant<int, 3>());
    case 4:
      return work(std::integral_constant<int, 4>());
    case 7:
      return work(std::integral_constant<int, 7>());
  }
  throw std::invalid_argument("channels must be 3, 4 or 7");
}

template <class Params>
void check_tsdf(const Params *p) {
  require(p->voxel_size > 0.0f && p->truncation > 0.0f, "the voxel's size and the truncation must be positive");
  require(p->H >= 2 && p->W >= 2 && int64_t(p->H) * p->W <= INT32_MAX, "depth maps must have 2 x 2 to 2^31 pixels");
}

template <class Params>
void check_resample(const Params *p) {
  require(p->N >= 1 && p->N1 == p->N + 1, "edges must have one more column than weights, which must have at least one");
}

template <class Params>
void check_intervals(const Params *p) {
  require(p->N1 >= 1 && int64_t(p->S) == int64_t(p->R) * (p->N1 - 1) && p->R1 == int64_t(p->R) + 1,
          "there must be a sample for each interval between the edges of a ray");
}

template <class Params>
void check_missed(const Params *p) {
  require(p->N1 == p->N + 1 && p->M1 == p->M + 1, "edges must have one column more than the weights between them");
}

template <class Params>
void check_mlp(const Params *p) {
  int64_t weights = 0;
  for (int l = 0; l < p->D; ++l) {
    require(p->widths[l] >= 1, "widths must be positive");
    if (l > 0) weights += int64_t(p->widths[l]) * p->widths[l - 1];
  }
  require(p->D >= 2 && p->widths[0] == p->I + p->J && p->widths[p->D - 1] == p->O && weights == p->P,
          "widths do not fit the input, the output or the number of weights");
}

// The model that is meant: without distortion there is only one.
template <class Params>
int camera_model(const Params *p) {
  if (p->model < NK_CAMERA_PINHOLE || p->model > NK_CAMERA_EQUIRECT)
    throw std::invalid_argument("no camera model has the number " + std::to_string(p->model));
  return p->distortion || p->model == NK_CAMERA_EQUIRECT ? p->model : NK_CAMERA_PINHOLE;
}

// Calls work(std::integral_constant) with a degree of spherical harmonics, for the compiler to know it.
template <class Work>
void with_degree(int degree, Work work) {
  switch (degree) {
    case 0:
      return work(std::integral_constant<int, 0>());
    case 1:
      return work(std::integral_constant<int, 1>());
    case 2:
      return work(std::integral_constant<int, 2>());
    case 3:
      return work(std::integral_constant<int, 3>());
  }
  throw std::invalid_argument("the degree must be 0, 1, 2 or 3");
}

template <class Params>
void check_sh_encode(const Params *p) {
  require(p->K == (p->degree + 1) * (p->degree + 1), "features must have (degree + 1)^2 columns");
}

// Of Gaussians, which may have more coefficients than are used.
template <class Params>
void check_sh(const Params *p) {
  require(p->K >= (p->degree + 1) * (p->degree + 1), "sh must have (degree + 1)^2 coefficients or more");
}

// Calls work(std::integral_constant) with the number of features of an entry.
template <class Work>
void with_features(int features, Work work) {
  switch (features) {
    case 1:
      return work(std::integral_constant<int, 1>());
    case 2:
      return work(std::integral_constant<int, 2>());
    case 4:
      return work(std::integral_constant<int, 4>());
    case 8:
      return work(std::integral_constant<int, 8>());
  }
  throw std::invalid_argument("an entry must have 1, 2, 4 or 8 features");
}

}  // namespace nk
