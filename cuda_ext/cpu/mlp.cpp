// Small multilayer perceptrons, all layers at once: a block of samples goes through the whole network while its
// activations stay in the cache (Müller et al. 2021, "Real-time neural radiance caching", section 4.1).
//
// A block is two vectors of samples. Activations lie as [width][samples], so that a lane is a sample; widths are padded
// with zeros, which no result depends on. The backward pass computes the activations anew. Each thread
// has weight gradients of its own, which are added in a fixed order: the same bytes on every run with the same number
// of threads.
#include <algorithm>
#include <cstring>
#include <vector>

#include "../checks.h"
#include "../error.h"
#include "../math/activation.h"
#include "../nerfkit.h"
#include "buffer.h"
#include "denormals.h"
#include "transpose.h"

namespace nk {
namespace {

constexpr int kBlock = 2 * kLanes;  // samples
constexpr int kRows = 4;            // outputs that are computed at a time: their sums stay in registers

int padded(int width, int to) { return (width + to - 1) / to * to; }

// The sizes of a network and where each layer lies, in the weights as given and padded.
struct Network {
  std::vector<int> widths;                // padded
  std::vector<int64_t> given_at, pad_at;  // of a layer's matrix [out, in]
  int64_t pad_size = 0;
  int activations = 0;  // of all layers together

  template <class Params>
  explicit Network(const Params *p) {
    check_mlp(p);
    int64_t given = 0;
    for (int l = 0; l < p->D; ++l) {
      widths.push_back(padded(p->widths[l], l + 1 < p->D ? kBlock : kRows));
      activations += widths.back();
      if (l == 0) continue;
      given_at.push_back(given);
      pad_at.push_back(pad_size);
      given += int64_t(p->widths[l]) * p->widths[l - 1];
      pad_size += int64_t(widths[l]) * widths[l - 1];
    }
  }

  int layers() const { return static_cast<int>(widths.size()) - 1; }
};

// The matrices padded with zeros, one after the other; each transposed to [in, out] if asked for.
template <class Params>
std::vector<float> padded_weights(const Params *p, const Network &net, bool transposed) {
  std::vector<float> out(net.pad_size, 0.0f);
  for (int l = 0; l < net.layers(); ++l)
    for (int o = 0; o < p->widths[l + 1]; ++o)
      for (int i = 0; i < p->widths[l]; ++i)
        out[net.pad_at[l] + (transposed ? int64_t(i) * net.widths[l + 1] + o : int64_t(o) * net.widths[l] + i)] =
            p->weights[net.given_at[l] + int64_t(o) * p->widths[l] + i];
  return out;
}

// y [out][kBlock] = w [out][in] x [in][kBlock]
void multiply(const float *w, int out, int in, const float *x, float *y) {
  for (int o = 0; o < out; o += kRows) {
    Lanes sums[kRows][2] = {};
    for (int i = 0; i < in; ++i) {
      const Lanes a = load(x + i * kBlock), b = load(x + i * kBlock + kLanes);
      for (int r = 0; r < kRows; ++r) {
        const float weight = w[int64_t(o + r) * in + i];
        sums[r][0] += weight * a;
        sums[r][1] += weight * b;
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int h = 0; h < 2; ++h) store(y + (o + r) * kBlock + h * kLanes, sums[r][h]);
  }
}

// v_w [out][in] += v_y [out][kBlock] x^T, with x by samples: [kBlock][in]
void add_outer(const float *v_y, const float *x_rows, int out, int in, float *v_w) {
  for (int o = 0; o < out; o += kRows)
    for (int i = 0; i < in; i += kBlock) {
      Lanes sums[kRows][2];
      for (int r = 0; r < kRows; ++r)
        for (int h = 0; h < 2; ++h) sums[r][h] = load(v_w + int64_t(o + r) * in + i + h * kLanes);
      for (int s = 0; s < kBlock; ++s) {
        const Lanes a = load(x_rows + s * in + i), b = load(x_rows + s * in + i + kLanes);
        for (int r = 0; r < kRows; ++r) {
          const float v = v_y[(o + r) * kBlock + s];
          sums[r][0] += v * a;
          sums[r][1] += v * b;
        }
      }
      for (int r = 0; r < kRows; ++r)
        for (int h = 0; h < 2; ++h) store(v_w + int64_t(o + r) * in + i + h * kLanes, sums[r][h]);
    }
}

void activate(int kind, float *values, int count) {
  if (kind == NK_OUTPUT_LINEAR) return;
  for (int i = 0; i < count; i += kLanes) store(values + i, activation(kind, load(values + i)));
}

// Turns the gradient of the values y behind an activation into that of what lies before it.
void activate_vjp(int kind, const float *y, float *gradient, int count) {
  if (kind == NK_OUTPUT_LINEAR) return;
  for (int i = 0; i < count; i += kLanes) store(gradient + i, activation_vjp(kind, load(y + i), load(gradient + i)));
}

// The input of a block of samples as rows [kBlock][pad]: as they lie in memory where that is the same, else in `rows`.
template <class Params>
const float *input_rows(const Params *p, int64_t first, int count, int pad, float *rows) {
  if (count == kBlock && pad == p->I) return p->input + first * p->I;
  std::memset(rows, 0, sizeof(float) * kBlock * pad);
  for (int s = 0; s < count; ++s) {
    std::memcpy(rows + s * pad, p->input + (first + s) * p->I, sizeof(float) * p->I);
    if (p->shared)
      std::memcpy(rows + s * pad + p->I, p->shared + int64_t(p->index[first + s]) * p->J, sizeof(float) * p->J);
  }
  return rows;
}

// Rows [samples, width] as they lie in memory into [pad][kBlock], with zeros where there is nothing.
void load_block(const float *rows, int count, int width, int pad, float *block) {
  if (count < kBlock) std::memset(block, 0, sizeof(float) * width * kBlock);
  std::memset(block + width * kBlock, 0, sizeof(float) * (pad - width) * kBlock);
  transpose(rows, width, width, count, block, kBlock);
}

void store_block(const float *block, int count, int width, float *rows) {
  transpose(block, kBlock, count, width, rows, width);
}

// Fills the activations of the first `layers` layers, the input being there already. Returns those of the last one.
float *forward(const Network &net, int layers, int output, const float *weights, float *activations) {
  float *x = activations;
  for (int l = 0; l < layers; ++l) {
    float *y = x + net.widths[l] * kBlock;
    multiply(weights + net.pad_at[l], net.widths[l + 1], net.widths[l], x, y);
    activate(l + 1 < net.layers() ? NK_OUTPUT_RELU : output, y, net.widths[l + 1] * kBlock);
    x = y;
  }
  return x;
}

struct Backward {
  Buffer input, activations, gradient, next, rows, weights;

  explicit Backward(const Network &net) : activations(int64_t(net.activations) * kBlock), weights(net.pad_size) {
    for (Buffer *buffer : {&input, &gradient, &next, &rows})
      *buffer = Buffer(*std::max_element(net.widths.begin(), net.widths.end()) * kBlock);
  }

  // From the gradient of the last layer, in `gradient`, to that of the first `wanted` inputs, which it holds in the
  // end.
  void pass_back(const Network &net, const float *transposed, const float *input, int wanted) {
    const float *x = activations.data() + int64_t(net.activations - net.widths.back()) * kBlock;
    for (int l = net.layers() - 1; l >= 0; --l) {
      const int in = net.widths[l], out = net.widths[l + 1];
      x -= in * kBlock;
      if (l > 0) transpose(x, kBlock, kBlock, in, rows.data(), in);
      add_outer(gradient.data(), l > 0 ? rows.data() : input, out, in, weights.data() + net.pad_at[l]);
      multiply(transposed + net.pad_at[l], l > 0 ? in : padded(wanted, kRows), out, gradient.data(), next.data());
      gradient.swap(next);
      if (l == 0) return;
      activate_vjp(NK_OUTPUT_RELU, x, gradient.data(), in * kBlock);
    }
  }
};

}  // namespace
}  // namespace nk

extern "C" int nk_mlp_fwd(const nk_mlp_params *p) {
  return nk::guarded("nk_mlp_fwd", [&] {
    const nk::Network net(p);
    const std::vector<float> weights = nk::padded_weights(p, net, false);
    const int64_t blocks = (int64_t(p->S) + nk::kBlock - 1) / nk::kBlock;
#pragma omp parallel num_threads(p->threads)
    {
      const nk::FlushDenormals flush;
      nk::Buffer rows(net.widths[0] * nk::kBlock), activations(int64_t(net.activations) * nk::kBlock);
#pragma omp for schedule(static)
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t first = block * nk::kBlock;
        const int count = static_cast<int>(std::min<int64_t>(nk::kBlock, p->S - first));
        const float *input = nk::input_rows(p, first, count, net.widths[0], rows.data());
        nk::transpose(input, net.widths[0], net.widths[0], nk::kBlock, activations.data(), nk::kBlock);
        const float *last = nk::forward(net, net.layers(), p->activation, weights.data(), activations.data());
        nk::store_block(last, count, p->O, p->output + first * p->O);
      }
    }
  });
}

extern "C" int nk_mlp_bwd(const nk_mlp_grad_params *p) {
  return nk::guarded("nk_mlp_bwd", [&] {
    const nk::Network net(p);
    const std::vector<float> weights = nk::padded_weights(p, net, false);
    const std::vector<float> transposed = nk::padded_weights(p, net, true);
    const int64_t blocks = (int64_t(p->S) + nk::kBlock - 1) / nk::kBlock;
    std::vector<nk::Backward> of_thread(p->threads, nk::Backward(net));
#pragma omp parallel for num_threads(p->threads) schedule(static, 1)
    for (int t = 0; t < p->threads; ++t) {
      const nk::FlushDenormals flush;
      nk::Backward &mine = of_thread[t];
      for (int64_t block = blocks * t / p->threads; block < blocks * (t + 1) / p->threads; ++block) {
        const int64_t first = block * nk::kBlock;
        const int count = static_cast<int>(std::min<int64_t>(nk::kBlock, p->S - first));
        const float *input = nk::input_rows(p, first, count, net.widths[0], mine.input.data());
        nk::transpose(input, net.widths[0], net.widths[0], nk::kBlock, mine.activations.data(), nk::kBlock);
        // What the last layer puts out is of no use to the gradient of a linear one.
        const int layers = net.layers() - (p->activation == NK_OUTPUT_LINEAR);
        const float *last = nk::forward(net, layers, p->activation, weights.data(), mine.activations.data());
        nk::load_block(p->grad_output + first * p->O, count, p->O, net.widths.back(), mine.gradient.data());
        nk::activate_vjp(p->activation, last, mine.gradient.data(), net.widths.back() * nk::kBlock);
        mine.pass_back(net, transposed.data(), input, p->grad_shared ? p->I + p->J : p->grad_input ? p->I : 0);
        const float *grad = mine.gradient.data();
        if (p->grad_input) nk::store_block(grad, count, p->I, p->grad_input + first * p->I);
        if (p->grad_shared) nk::store_block(grad + p->I * nk::kBlock, count, p->J, p->grad_shared + first * p->J);
      }
    }
    for (int l = 0; l < net.layers(); ++l)
      for (int o = 0; o < p->widths[l + 1]; ++o)
        for (int i = 0; i < p->widths[l]; ++i) {
          float total = 0.0f;
          for (const nk::Backward &one : of_thread)
            total += one.weights.data()[net.pad_at[l] + int64_t(o) * net.widths[l] + i];
          p->grad_weights[net.given_at[l] + int64_t(o) * p->widths[l] + i] = total;
        }
  });
}
