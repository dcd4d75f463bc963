// The fused Adam update; a lane is a number of the parameter.
#include "../math/adam.h"

#include <algorithm>
#include <vector>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

class Update {
 public:
  explicit Update(const nk_adam_params *p)
      : p_(p), step_(adam_step(p->beta1, p->beta2, p->epsilon, p->step)), lr_(p->L + kLanes) {
    // The learning rates, wrapped around so that a vector can be read from any position in the period.
    for (size_t i = 0; i < lr_.size(); ++i) lr_[i] = p->lr[i % p->L];
  }

  // The entries [begin, end). Whole vectors without masks: masked stores take several times as long.
  void operator()(int64_t begin, int64_t end) const {
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      Lanes param = load(p_->param + i), m = load(p_->m + i), v = load(p_->v + i);
      adam(step_, rate(i), load(p_->grad + i), &param, &m, &v);
      store(p_->param + i, param);
      store(p_->m + i, m);
      store(p_->v + i, v);
    }
    for (; i < end; ++i) adam(step_, lr_[i % p_->L], p_->grad[i], p_->param + i, p_->m + i, p_->v + i);
  }

 private:
  Lanes rate(int64_t i) const { return load(lr_.data() + (p_->L == 1 ? 0 : i % p_->L)); }

  const nk_adam_params *p_;
  AdamStep step_;
  std::vector<float> lr_;
};

constexpr int64_t kChunk = 1 << 12;  // entries, or rows, of a thread at a time

void update_all(const nk_adam_params *p, const Update &update) {
#pragma omp parallel for num_threads(p->threads) schedule(static)
  for (int64_t begin = 0; begin < p->P; begin += kChunk) update(begin, std::min(p->P, begin + kChunk));
}

// Rows that are marked lie together where the parameter is in an order of space: each run is updated as one.
void update_drawn(const nk_adam_params *p, const Update &update) {
  const int64_t width = p->R ? p->P / p->R : 0;
#pragma omp parallel for num_threads(p->threads) schedule(static)
  for (int64_t chunk = 0; chunk < p->R; chunk += kChunk) {
    const int64_t last = std::min<int64_t>(p->R, chunk + kChunk);
    for (int64_t row = chunk; row < last; ++row) {
      if (!p->drawn[row]) continue;
      const int64_t first = row;
      while (row < last && p->drawn[row]) ++row;
      update(first * width, row * width);
    }
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_adam(const nk_adam_params *p) {
  return nk::guarded("nk_adam", [&] {
    nk::check_adam(p);
    const nk::Update update(p);
    if (p->drawn)
      nk::update_drawn(p, update);
    else
      nk::update_all(p, update);
  });
}
