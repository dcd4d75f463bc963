/* What the declarations of the C ABI are written with. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
#define NK_API extern "C" __attribute__((visibility("default")))
#else
#define NK_API __attribute__((visibility("default")))
#endif
