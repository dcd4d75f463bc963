// What a photo asks of Gaussians, by the operators of whichever library this is compiled into.
#include <cstdint>
#include <stdexcept>

#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

constexpr int64_t kAlignment = 256;
constexpr int64_t kPairsOfASplat = 4;  // that there is room for before the first are counted
constexpr int kPartsOfAThread = 4;     // near splats reach more tiles than far ones: parts are not equal work
constexpr int kColors = 3;             // channels that are drawn

// A workspace, given piece by piece; goes on counting behind its end.
class Pieces {
 public:
  explicit Pieces(uint8_t *memory) : memory_(reinterpret_cast<uintptr_t>(memory)) {}

  template <class T>
  T *take(int64_t n) {
    T *piece = reinterpret_cast<T *>(memory_ + static_cast<uintptr_t>(taken_));
    taken_ += (n * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return piece;
  }
  int64_t taken() const { return taken_; }

 private:
  uintptr_t memory_;
  int64_t taken_ = 0;
};

class PhotoStep {
 public:
  explicit PhotoStep(nk_photo_step_params *p)
      : p_(p),
        on_gpu_(nk_lanes() == 1),
        tiles_(along(p->W) * along(p->H)),
        parts_(on_gpu_ ? p->N : parts_of(p->threads)) {
    if (!p->grad_sum != !p->count) throw std::invalid_argument("grad_sum and count go together");
  }

  // An operator's code: 0, or of the first that failed.
  int run() {
    Pieces pieces(p_->workspace);
    take_fixed(&pieces);
    p_->needed = pieces.taken() + bytes_of_pairs(kPairsOfASplat * p_->N);
    if (pieces.taken() > p_->S) return 0;
    if (int failed = project()) return failed;
    if (int failed = sort()) return failed;
    take_for_pairs(&pieces);
    p_->needed = pieces.taken();
    if (pieces.taken() > p_->S) return 0;
    if (int failed = list()) return failed;
    if (int failed = draw()) return failed;
    if (int failed = compare()) return failed;
    if (int failed = draw_back()) return failed;
    if (int failed = project_back()) return failed;
    return p_->grad_sum ? gather() : 0;  // last: what asks to be called again has not added to any sum
  }

 private:
  static int parts_of(int threads) { return threads == 1 ? 1 : kPartsOfAThread * threads; }
  static int along(int size) { return (size + nk_tile() - 1) / nk_tile(); }

  int64_t bytes_of_pairs(int64_t pairs) const { return pairs * (on_gpu_ ? 5 : 9); }

  void take_fixed(Pieces *pieces) {
    const int64_t n = p_->N, pixels = int64_t(p_->H) * p_->W;
    order_ = pieces->take<int32_t>(n);
    room_ = pieces->take<int64_t>(parts_ + 1);
    tile_offsets_ = pieces->take<int32_t>(tiles_ + 1);
    walked_ = pieces->take<int32_t>(tiles_);
    image_ = pieces->take<float>(kColors * pixels);
    grad_image_ = pieces->take<float>(kColors * pixels);
    alpha_ = pieces->take<float>(pixels);
    grad_splats_ = pieces->take<float>(n * NK_SPLAT_SIZE);
    if (on_gpu_) return;
    tiles_of_splat_ = pieces->take<int32_t>(n);
    part_counts_ = pieces->take<int32_t>(parts_ * tiles_);
    sums_of_threads_ = pieces->take<float>(p_->threads * n * NK_SPLAT_SIZE);
  }

  void take_for_pairs(Pieces *pieces) {
    indices_ = pieces->take<int32_t>(pairs_);
    reach_ = pieces->take<uint8_t>(pairs_);
    if (!on_gpu_) notes_ = pieces->take<int32_t>(pairs_);
  }

  // The fields that operators have in common, by what they are part of.

  template <class Params>
  Params of_view() const {
    Params q = {};
    q.threads = p_->threads, q.N = p_->N, q.width = p_->W, q.height = p_->H;
    q.splats = p_->splats;
    return q;
  }

  template <class Params>
  Params of_projection() const {
    Params q = of_view<Params>();
    q.K = p_->K, q.degree = p_->degree, q.near = p_->near, q.antialiased = p_->antialiased;
    q.means = p_->means, q.quats = p_->quats, q.scales = p_->scales, q.opacities = p_->opacities, q.sh = p_->sh;
    q.cam_from_world = p_->cam_from_world, q.intrinsics = p_->intrinsics;
    return q;
  }

  template <class Params>
  Params of_lists() const {
    Params q = of_view<Params>();
    q.parts1 = static_cast<int32_t>(parts_ + 1);
    q.order = order_, q.room = room_;
    return q;
  }

  template <class Params>
  Params of_drawing() const {
    Params q = {};
    q.threads = p_->threads, q.N = p_->N, q.C = kColors, q.H = p_->H, q.W = p_->W;
    q.I = static_cast<int32_t>(pairs_), q.T = tiles_, q.T1 = tiles_ + 1;
    q.splats = p_->splats, q.tile_offsets = tile_offsets_, q.indices = indices_, q.reach = reach_;
    q.walked = walked_, q.image = image_, q.alpha = alpha_;
    return q;
  }

  int project() const {
    const auto q = of_projection<nk_project_params>();
    return nk_project_fwd(&q);
  }

  int sort() {
    auto q = of_lists<nk_bin_params>();
    const int failed = nk_bin(&q);
    visible_ = q.M;
    pairs_ = q.pairs;
    return failed;
  }

  int list() const {
    auto q = of_lists<nk_fill_params>();
    q.M = visible_, q.T = tiles_, q.T1 = tiles_ + 1, q.I = static_cast<int32_t>(pairs_);
    q.TP = on_gpu_ ? 0 : static_cast<int32_t>(parts_ * tiles_);
    q.notes = notes_, q.tiles_of_splat = tiles_of_splat_, q.part_counts = part_counts_;
    q.tile_offsets = tile_offsets_, q.indices = indices_, q.reach = reach_;
    return nk_fill(&q);
  }

  int draw() const {
    auto q = of_drawing<nk_rasterize_params>();
    q.background = p_->background;
    return nk_rasterize_fwd(&q);
  }

  int compare() const {
    nk_photometric_params q = {};
    q.threads = p_->threads, q.C = kColors, q.H = p_->H, q.W = p_->W, q.ssim_weight = p_->ssim_weight;
    q.image = image_, q.target = p_->target, q.mean = p_->mean, q.mean_square = p_->mean_square;
    q.sums = p_->sums, q.grad_image = grad_image_;
    return nk_photometric(&q);
  }

  int draw_back() const {
    auto q = of_drawing<nk_rasterize_grad_params>();
    q.absolute = p_->grad_sum != nullptr;
    q.grad_image = grad_image_, q.grad_splats = grad_splats_;
    q.S = on_gpu_ ? 0 : int64_t(p_->threads) * p_->N * NK_SPLAT_SIZE, q.scratch = sums_of_threads_;
    return nk_rasterize_bwd(&q);
  }

  int project_back() const {
    auto q = of_projection<nk_project_grad_params>();
    q.grad_splats = grad_splats_;
    q.grad_means = p_->grad_means, q.grad_quats = p_->grad_quats, q.grad_scales = p_->grad_scales;
    q.grad_opacities = p_->grad_opacities, q.grad_sh = p_->grad_sh;
    return nk_project_bwd(&q);
  }

  int gather() const {
    auto q = of_view<nk_splat_stats_params>();
    q.grad_splats = grad_splats_, q.grad_sum = p_->grad_sum, q.count = p_->count;
    return nk_splat_stats(&q);
  }

  nk_photo_step_params *p_;
  bool on_gpu_;
  int tiles_;
  int64_t parts_;  // of the sorted splats, as nk_bin has them
  int32_t visible_ = 0;
  int64_t pairs_ = 0;
  int32_t *order_ = nullptr, *tile_offsets_ = nullptr, *walked_ = nullptr, *indices_ = nullptr;
  int64_t *room_ = nullptr;
  uint8_t *reach_ = nullptr;
  float *image_ = nullptr, *grad_image_ = nullptr, *alpha_ = nullptr, *grad_splats_ = nullptr;
  int32_t *notes_ = nullptr, *tiles_of_splat_ = nullptr, *part_counts_ = nullptr;  // of a CPU, as the next
  float *sums_of_threads_ = nullptr;
};

}  // namespace
}  // namespace nk

extern "C" int nk_photo_step(nk_photo_step_params *p) {
  int of_operator = 0;
  const int own = nk::guarded("nk_photo_step", [&] { of_operator = nk::PhotoStep(p).run(); });
  return own ? own : of_operator;
}
