// What the library says about itself, and what of the C ABI means nothing to a CPU.
#include "../library.h"

extern "C" {

int32_t nk_lanes(void) { return NK_LANES; }
int32_t nk_tile(void) { return NK_TILE; }
void nk_use_stream(void *) {}
void nk_use_scratch(void *, int64_t) {}
int64_t nk_scratch_needed(void) { return 0; }
}
