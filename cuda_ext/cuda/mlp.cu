// Small multilayer perceptrons, all layers at once on tensor cores (Müller et al. 2021, "Real-time neural radiance
// caching", section 4.1): the activations of a batch of samples stay in shared memory as halfs, products add up in
// single precision. Blocks stay and take batch after batch.
//
// The backward pass computes the activations anew. Gradients would underflow as halfs: each batch's are multiplied by a
// power of two that its largest one decides, and sums of floats are divided by it again. A block has weight gradients
// of its own in global memory, which are added in a fixed order: the same bytes on every run.
#include "../math/activation.h"
#include "mlp.h"

namespace nk {
namespace {

// Blocks of a processor for which there must be registers: 128 a thread, or 168 where that is too few for the compiler.
constexpr int kBlocksBeside = 4;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kBlocksBesideBackward = 3;
#else
constexpr int kBlocksBesideBackward = 4;
#endif
constexpr int kScaledExponent = 4;  // the largest gradient of a batch behind the last layer is 16 to 32 when scaled
constexpr int kSumThreads = 256, kSummed = 32;  // weights of a block that adds the blocks' gradients

// The matrices as padded halfs, one after the other.
__global__ void __launch_bounds__(kMlpBlock) pad_matrices(const float *weights, MlpLayout net, half *to) {
  const int i = static_cast<int>(thread_number());
  if (i >= net.matrix_size()) return;
  int l = 0;
  while (i >= net.matrix_at[l + 1]) ++l;
  const int out = (i - net.matrix_at[l]) / net.leading(l), in = (i - net.matrix_at[l]) % net.leading(l);
  const bool there = out < net.widths[l + 1] && in < net.widths[l];
  to[i] = to_finite_half(there ? weights[net.given_at[l] + out * net.widths[l] + in] : 0.0f);
}

template <bool kStaged>
__global__ void __launch_bounds__(kMlpBlock, kBlocksBeside)
    mlp_forward(nk_mlp_params p, MlpLayout net, int rows, const half *padded, Fault *note) {
  NK_DYNAMIC_SHARED(unsigned char, memory);
  const MlpBlock block(memory, net, rows);
  const half *matrices = stage_matrices<kStaged>(net, padded, block.matrices);
  const FloatRows<float> output(p.output, p.O);
  for (int64_t first = int64_t(rows) * blockIdx.x; first < p.S; first += int64_t(rows) * gridDim.x) {
    load_input(p, net, first, rows, block.activations, note);
    __syncthreads();
    run_hidden_layers(net, rows, block, matrices);
    multiply_layer(net, net.layers - 1, rows, block, matrices, [&](int row, int column, EightFloats values) {
      if (first + row >= p.S) return;
      for (float &value : values.f) value = activation(p.activation, value);
      output.store(first + row, column, values);
    });
    __syncthreads();
  }
}

// Calls use(row, column, eight gradients from there on) for what lies before the output's activation.
template <class Use>
NK_DEVICE void output_gradients(const nk_mlp_grad_params &p, const MlpLayout &net, int64_t first, int rows,
                                const MlpBlock &block, const half *matrices, Use use) {
  const FloatRows<const float> grad_output(p.grad_output, p.O);
  const auto of = [&](int row, int column, EightFloats values) {
    const bool there = first + row < p.S;
    EightFloats v_y = {};
    if (there) v_y = grad_output.load(first + row, column);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float y = activation(p.activation, values.f[i]);
      values.f[i] = there && column + i < p.O ? activation_vjp(p.activation, y, v_y.f[i]) : 0.0f;
    }
    use(row, column, values);
  };
  if (p.activation != NK_OUTPUT_LINEAR) return multiply_layer(net, net.layers - 1, rows, block, matrices, of);
  // What a linear layer puts out is of no use to its gradient.
  for (int row = threadIdx.x / 2; row < rows; row += kMlpBlock / 2)
    for (int column = threadIdx.x % 2 * 8; column < net.padded[net.layers]; column += kTile) of(row, column, {});
}

// A power of two and its inverse.
struct Scale {
  float factor, inverse;
};

// The scale of a batch by its threads' largest gradients; `largest` holds 0 and is shared.
NK_DEVICE Scale scale_of_batch(float of_thread, int *largest) {
  for (int lanes = 16; lanes > 0; lanes /= 2) of_thread = max(of_thread, __shfl_xor_sync(kAllLanes, of_thread, lanes));
  if (threadIdx.x % 32 == 0) atomicMax(largest, __float_as_int(of_thread));  // floats above 0 are ordered as their bits
  __syncthreads();
  const int exponent = (*largest >> 23) - 127, shift = min(kScaledExponent - exponent, 126);
  return {__int_as_float((127 + shift) << 23), __int_as_float((127 - shift) << 23)};
}

// Turns the activations behind the last layer into their scaled gradients.
NK_DEVICE Scale start_gradients(const nk_mlp_grad_params &p, const MlpLayout &net, int64_t first, int rows,
                                const MlpBlock &block, const half *matrices) {
  float of_thread = 0.0f;
  output_gradients(p, net, first, rows, block, matrices, [&](int, int, const EightFloats &values) {
    for (const float value : values.f) of_thread = max(of_thread, abs(value));
  });
  const Scale scale = scale_of_batch(of_thread, block.largest);
  half *to = block.activations + rows * net.row_at[net.layers];
  output_gradients(p, net, first, rows, block, matrices, [&](int row, int column, EightFloats values) {
    for (float &value : values.f) value *= scale.factor;
    store_halfs(to + row * net.leading(net.layers) + column, values);
  });
  __syncthreads();
  return scale;
}

// Adds the gradient of layer l's matrix, the sum over the samples of v_y x^T, to `sums`, or begins them.
NK_DEVICE void add_outer(const MlpLayout &net, int l, int rows, const half *v_y, const half *x, float inverse,
                         bool begin, float *sums) {
  const int in_tiles = net.padded[l] / kTile, in_pairs = (in_tiles + 1) / 2, out_tiles = net.padded[l + 1] / kTile;
  const int leading = net.leading(l), leading_out = net.leading(l + 1);
  for (int job = threadIdx.x / 32; job < out_tiles * in_pairs; job += kMlpWarps) {
    const int out = job / in_pairs, in = job % in_pairs * 2, count = min(2, in_tiles - in);
    TileC products[2];
    for (TileC &product : products) fill(product, 0.0f);
    for (int row = 0; row < rows; row += kTile) {
      TileA<kColumns> left;
      load(left, v_y + row * leading_out + kTile * out, leading_out);
      for (int j = 0; j < 2; ++j) {
        if (j >= count) continue;
        TileB<kRows> right;
        load(right, x + row * leading + kTile * (in + j), leading);
        multiply_add(products[j], left, right);
      }
    }
    for (int j = 0; j < 2; ++j) {
      if (j >= count) continue;
      float *to = sums + net.gradient_at[l] + kTileSize * (out * in_tiles + in + j);
      TileC sum;
      if (begin)
        fill(sum, 0.0f);
      else
        load(sum, to, kTile, kRows);
      for (int i = 0; i < TileC::num_elements; ++i) sum.x[i] += inverse * products[j].x[i];
      store(to, sum, kTile, kRows);
    }
  }
}

// Turns the activations x behind a hidden layer into their gradients: v_y times the next layer's matrix.
NK_DEVICE void pass_back(const MlpLayout &net, int l, int rows, const MlpBlock &block, Rows v_y, const half *matrix,
                         half *x) {
  const int leading = net.leading(l);
  multiply<kRows>(v_y, {matrix, leading}, rows, net.padded[l + 1], net.padded[l], block.staging,
                  [&](int row, int column, EightFloats values) {
                    half *to = x + row * leading + column;
                    const EightHalfs y = *reinterpret_cast<const EightHalfs *>(to);
#pragma unroll
                    for (int i = 0; i < 8; ++i) values.f[i] = from_half(y.h[i]) > 0.0f ? values.f[i] : 0.0f;
                    store_halfs(to, values);
                  });
}

// The gradients of the input, as far as they are wanted.
NK_DEVICE void write_input_gradients(const nk_mlp_grad_params &p, const MlpLayout &net, int64_t first, int rows,
                                     const MlpBlock &block, Rows v_y, const half *matrix, float inverse) {
  const int wanted = p.grad_shared ? p.I + p.J : p.grad_input ? p.I : 0;
  const FloatRows<float> own(p.grad_input, p.I);
  multiply<kRows>(v_y, {matrix, net.leading(0)}, rows, net.padded[1], kTile * tiles_of(wanted), block.staging,
                  [&](int row, int column, EightFloats values) {
                    const int64_t sample = first + row;
                    if (sample >= p.S) return;
                    for (float &value : values.f) value *= inverse;
                    if (p.grad_input) own.store(sample, column, values);
                    if (!p.grad_shared || column + 8 <= p.I) return;
#pragma unroll
                    for (int i = 0; i < 8; ++i) {
                      const int at = column + i - p.I;
                      if (at >= 0 && at < p.J) p.grad_shared[sample * p.J + at] = values.f[i];
                    }
                  });
}

template <bool kStaged>
__global__ void __launch_bounds__(kMlpBlock, kBlocksBesideBackward)
    mlp_vjp(nk_mlp_grad_params p, MlpLayout net, int rows, const half *padded, float *sums_of_blocks, Fault *note) {
  NK_DYNAMIC_SHARED(unsigned char, memory);
  const MlpBlock block(memory, net, rows);
  const half *matrices = stage_matrices<kStaged>(net, padded, block.matrices);
  float *sums = sums_of_blocks + int64_t(net.gradient_size()) * blockIdx.x;
  bool begin = true;
  for (int64_t first = int64_t(rows) * blockIdx.x; first < p.S; first += int64_t(rows) * gridDim.x) {
    load_input(p, net, first, rows, block.activations, note);
    if (threadIdx.x == 0) *block.largest = 0;
    __syncthreads();
    run_hidden_layers(net, rows, block, matrices);
    const float inverse = start_gradients(p, net, first, rows, block, matrices).inverse;
    for (int l = net.layers - 1; l >= 0; --l) {
      half *x = block.activations + rows * net.row_at[l];
      const Rows v_y = {block.activations + rows * net.row_at[l + 1], net.leading(l + 1)};
      add_outer(net, l, rows, v_y.at, x, inverse, begin, sums);
      if (l > 0) {
        __syncthreads();  // the activations go where their gradients come
        pass_back(net, l, rows, block, v_y, matrices + net.matrix_at[l], x);
      } else {
        write_input_gradients(p, net, first, rows, block, v_y, matrices, inverse);
      }
      __syncthreads();
    }
    begin = false;
  }
}

// Adds the weight gradients of all blocks: eight threads for each number, the same ones of the same blocks every time.
__global__ void __launch_bounds__(kSumThreads)
    add_up(const float *sums_of_blocks, int count, MlpLayout net, float *to) {
  constexpr int kParts = kSumThreads / kSummed;
  NK_SHARED(float, parts, kSumThreads);
  const int at = kSummed * blockIdx.x + threadIdx.x % kSummed;  // sizes are whole tiles, so it lies within
  float sum = 0.0f;
  for (int b = threadIdx.x / kSummed; b < count; b += kParts)
    sum += sums_of_blocks[int64_t(net.gradient_size()) * b + at];
  parts[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= kSummed) return;
  for (int part = 1; part < kParts; ++part) sum += parts[kSummed * part + threadIdx.x];
  int l = 0;
  while (at >= net.gradient_at[l + 1]) ++l;
  const int tile = (at - net.gradient_at[l]) / kTileSize, in_tile = at % kTileSize, in_tiles = net.padded[l] / kTile;
  const int out = kTile * (tile / in_tiles) + in_tile / kTile, in = kTile * (tile % in_tiles) + in_tile % kTile;
  if (out < net.widths[l + 1] && in < net.widths[l]) to[net.given_at[l] + out * net.widths[l] + in] = sum;
}

// Calls work(std::bool_constant) with whether the matrices are in shared memory.
template <class Work>
void with_staging(bool staged, Work work) {
  if (staged) return work(std::true_type());
  work(std::false_type());
}

// Blocks that stay: as many as run at a time, or as there are batches.
template <class Kernel>
unsigned lasting_blocks(Kernel *kernel, int64_t samples, const MlpPlan &plan) {
  return min(blocks(samples, plan.rows), max(1u, resident_blocks(kernel, kMlpBlock, plan.bytes)));
}

}  // namespace
}  // namespace nk

extern "C" int nk_mlp_fwd(const nk_mlp_params *p) {
  using namespace nk;
  return on_device("nk_mlp_fwd", [&] {
    const MlpLayout net = layout_of(p, false);
    const MlpPlan plan = plan_for(net);
    Scratch scratch;
    half *matrices = scratch.take<half>(net.matrix_size());
    NK_LAUNCH(pad_matrices, blocks(net.matrix_size(), kMlpBlock), kMlpBlock, 0, p->weights, net, matrices);
    with_staging(plan.staged, [&](auto staged) {
      const unsigned grid = lasting_blocks(mlp_forward<decltype(staged)::value>, p->S, plan);
      NK_LAUNCH(mlp_forward<decltype(staged)::value>, grid, kMlpBlock, plan.bytes, *p, net, plan.rows, matrices,
                fault_note());
    });
  });
}

extern "C" int nk_mlp_bwd(const nk_mlp_grad_params *p) {
  using namespace nk;
  return on_device("nk_mlp_bwd", [&] {
    const MlpLayout net = layout_of(p, true);
    const MlpPlan plan = plan_for(net);
    with_staging(plan.staged, [&](auto staged) {
      const unsigned grid = lasting_blocks(mlp_vjp<decltype(staged)::value>, p->S, plan);
      Scratch scratch;
      half *matrices = scratch.take<half>(net.matrix_size());
      float *sums = scratch.take<float>(int64_t(net.gradient_size()) * grid);
      NK_LAUNCH(pad_matrices, blocks(net.matrix_size(), kMlpBlock), kMlpBlock, 0, p->weights, net, matrices);
      NK_LAUNCH(mlp_vjp<decltype(staged)::value>, grid, kMlpBlock, plan.bytes, *p, net, plan.rows, matrices, sums,
                fault_note());
      NK_LAUNCH(add_up, blocks(net.gradient_size(), kSummed), kSumThreads, 0, sums, static_cast<int>(grid), net,
                p->grad_weights);
    });
  });
}
