/* What every model trains by: the loss of a picture, and the optimizer. The rules are in nerfkit.h. */
#pragma once

#include "api.h"

/* Blurs a target image and its square by the SSIM window: what does not change while training. */
typedef struct nk_ssim_target_params {
  int32_t threads;
  int32_t C;
  int32_t H;
  int32_t W;
  const float *target; /* [C, H, W] */
  float *mean;         /* [C, H, W] blurred target */
  float *mean_square;  /* [C, H, W] blurred target squared */
} nk_ssim_target_params;
NK_API int nk_ssim_target(const nk_ssim_target_params *p);

/* (1 - ssim_weight) mean |x - y| + ssim_weight (1 - mean SSIM), with its gradient; zero padding. */
typedef struct nk_photometric_params {
  int32_t threads;
  int32_t C;
  int32_t H;
  int32_t W;
  float ssim_weight;
  const float *image;       /* [C, H, W] x */
  const float *target;      /* [C, H, W] y */
  const float *mean;        /* [C, H, W] from nk_ssim_target */
  const float *mean_square; /* [C, H, W] from nk_ssim_target */
  double *sums;             /* [3] mean |x - y|, mean SSIM, the loss */
  float *grad_image;        /* [C, H, W] or NULL */
} nk_photometric_params;
NK_API int nk_photometric(const nk_photometric_params *p);

/* One Adam step in place. lr repeats over the parameter: entry i uses lr[i % L]. With `drawn` the parameter has R rows,
 * and only those that are marked change, moments and all (the sparse Adam of Mallick et al. 2024, "Taming 3DGS"). */
typedef struct nk_adam_params {
  int32_t threads;
  int64_t P; /* numbers in the parameter */
  int32_t L;
  float beta1;
  float beta2;
  float epsilon;
  int64_t step; /* 1 at the first update */
  int32_t R;
  const float *lr;      /* [L] on the host, at most NK_ADAM_RATES */
  const uint8_t *drawn; /* [R] or NULL */
  const float *grad;    /* [P] */
  float *param;         /* [P] */
  float *m;             /* [P] */
  float *v;             /* [P] */
} nk_adam_params;
NK_API int nk_adam(const nk_adam_params *p);
