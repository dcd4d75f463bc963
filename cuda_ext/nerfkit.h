/* The C ABI of the render core. No torch, no Python, no C++ in here.
 *
 * Every operator takes one params struct and returns 0, or an error code with a message in nk_error().
 * They are declared in operators/, by what they are for. nerfkit/core/_header.py reads this file and those: field
 * types, and the shapes in the comments, become the Python binding and its argument checks. The rules it relies on:
 *   - a pointer's comment begins with its shape, e.g. [N, 3]; names in it are int fields of the same struct
 *     (filled in from the tensors) or constants of math/constants.h;
 *   - "or NULL" after the shape marks an optional array;
 *   - float is float32, uint16_t a float16's bits, uint8_t, int32_t and int64_t are what they say; arrays are
 *     contiguous, C order;
 *   - arrays that are not const are written.
 * Arrays of a GPU's library lie in device memory, the small ones too, unless "on the host" follows the shape, and calls
 * return before their work is done. A call that returns NK_NEEDS_SCRATCH has done nothing: give it nk_scratch_needed()
 * bytes and call again. Where only the kernel can see that an argument is wrong (offsets that do not rise), the call
 * skips what it concerns, and it or a later call returns the error.
 * Images are planes [C, H, W]; pixel (x, y) has its centre at (x + 0.5, y + 0.5). */
#pragma once

#include "math/constants.h"
#include "operators/api.h"
#include "operators/fields.h"
#include "operators/gaussians.h"
#include "operators/rays.h"
#include "operators/steps.h"
#include "operators/surfaces.h"
#include "operators/training.h"

NK_API int32_t nk_abi_version(void);
NK_API int32_t nk_lanes(void);
NK_API int32_t nk_tile(void);                    /* pixels along the side of a tile of this library's rasterizer */
NK_API const char *nk_error(void);               /* of this thread's last failure */
NK_API int64_t nk_params_size(const char *name); /* sizeof(struct NAME), -1 if unknown */

/* Of a GPU's library; a CPU's takes them and does nothing. All three concern the calling thread. */
NK_API void nk_use_stream(void *stream);                 /* the cudaStream_t of the calls that follow */
NK_API void nk_use_scratch(void *memory, int64_t bytes); /* device memory those calls may use, on that stream */
NK_API int64_t nk_scratch_needed(void);                  /* bytes that the last call wanted */
