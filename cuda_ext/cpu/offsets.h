// Offsets of packed samples: those of ray r are offsets[r] .. offsets[r + 1].
#pragma once

#include <cstdint>
#include <stdexcept>

#include "../checks.h"

namespace nk {

// Refuses offsets [R + 1] that lead out of the S samples. Params has S, R, R1 and offsets.
template <class Params>
void check_offsets(const Params *p) {
  check_rays(p);
  bool good = p->offsets[0] == 0 && p->offsets[p->R] == p->S;
  for (int32_t ray = 0; good && ray < p->R; ++ray) good = p->offsets[ray] <= p->offsets[ray + 1];
  if (!good) throw std::invalid_argument("offsets must rise from 0 to the number of samples");
}

}  // namespace nk
