/* Operators that are others one after the other, between which a GPU waits for no Python. The rules are in nerfkit.h.
 */
#pragma once

#include "api.h"

/* What a photo asks of Gaussians: the view is drawn (rgb), compared with the photo, and gone back through, by
 * nk_project_fwd, nk_bin, nk_fill, nk_rasterize_fwd, nk_photometric, nk_rasterize_bwd, nk_project_bwd and, with
 * statistics, nk_splat_stats. How much memory the pairs of splats and tiles take is known only on the way: a call whose
 * `needed` is more than S has found only that; it is to be repeated with as much. */
typedef struct nk_photo_step_params {
  int32_t threads;
  int32_t N;      /* Gaussians */
  int32_t K;      /* SH coefficients stored */
  int32_t degree; /* SH degree used, 0..3 */
  int32_t H;
  int32_t W;
  float near;          /* Gaussians nearer than this are culled */
  int32_t antialiased; /* as in nk_project_fwd */
  float ssim_weight;   /* as in nk_photometric */
  int64_t needed;      /* bytes of the workspace: out */
  int64_t S;
  const float *means;          /* [N, 3] scene frame */
  const float *quats;          /* [N, 4] w x y z, any length */
  const float *scales;         /* [N, 3] */
  const float *opacities;      /* [N] */
  const float *sh;             /* [N, K, 3] */
  const float *cam_from_world; /* [4, 4] on the host */
  const float *intrinsics;     /* [4] on the host; fx fy cx cy */
  const float *background;     /* [3] on the host */
  const float *target;         /* [3, H, W] */
  const float *mean;           /* [3, H, W] from nk_ssim_target */
  const float *mean_square;    /* [3, H, W] from nk_ssim_target */
  uint8_t *workspace;          /* [S] */
  float *splats;               /* [N, NK_SPLAT_SIZE] */
  double *sums;                /* [3] mean |x - y|, mean SSIM, the loss */
  float *grad_means;           /* [N, 3] */
  float *grad_quats;           /* [N, 4] */
  float *grad_scales;          /* [N, 3] */
  float *grad_opacities;       /* [N] */
  float *grad_sh;              /* [N, K, 3] */
  float *grad_sum;             /* [N] or NULL; statistics, as in nk_splat_stats */
  float *count;                /* [N] or NULL */
} nk_photo_step_params;
NK_API int nk_photo_step(nk_photo_step_params *p);
