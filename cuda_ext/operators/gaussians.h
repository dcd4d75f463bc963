/* 3D Gaussians to pictures: projection, the splats of each tile, rasterization. The rules are in nerfkit.h. */
#pragma once

#include "api.h"

/* Projects Gaussians to splats (EWA) and evaluates their colours. */
typedef struct nk_project_params {
  int32_t threads;
  int32_t N;      /* Gaussians */
  int32_t K;      /* SH coefficients stored */
  int32_t degree; /* SH degree used, 0..3 */
  int32_t width;
  int32_t height;
  float near;                  /* Gaussians nearer than this are culled */
  int32_t antialiased;         /* 1: what the blur makes larger becomes more transparent, 0: stays as it is */
  const float *means;          /* [N, 3] scene frame */
  const float *quats;          /* [N, 4] w x y z, any length */
  const float *scales;         /* [N, 3] */
  const float *opacities;      /* [N] */
  const float *sh;             /* [N, K, 3] */
  const float *cam_from_world; /* [4, 4] on the host */
  const float *intrinsics;     /* [4] on the host; fx fy cx cy */
  float *splats;               /* [N, NK_SPLAT_SIZE] */
  float *slopes;               /* [N, 2] or NULL; change of depth from a pixel to the next, of culled splats anything */
} nk_project_params;
NK_API int nk_project_fwd(const nk_project_params *p);

/* The gradient of nk_project_fwd. */
typedef struct nk_project_grad_params {
  int32_t threads;
  int32_t N;
  int32_t K;
  int32_t degree;
  int32_t width;
  int32_t height;
  float near;
  int32_t antialiased;
  const float *means;          /* [N, 3] */
  const float *quats;          /* [N, 4] */
  const float *scales;         /* [N, 3] */
  const float *opacities;      /* [N] */
  const float *sh;             /* [N, K, 3] */
  const float *cam_from_world; /* [4, 4] on the host */
  const float *intrinsics;     /* [4] on the host */
  const float *splats;         /* [N, NK_SPLAT_SIZE] as nk_project_fwd wrote them */
  const float *grad_splats;    /* [N, NK_SPLAT_SIZE] */
  const float *grad_slopes;    /* [N, 2] or NULL */
  float *grad_means;           /* [N, 3] */
  float *grad_quats;           /* [N, 4] */
  float *grad_scales;          /* [N, 3] */
  float *grad_opacities;       /* [N] */
  float *grad_sh;              /* [N, K, 3] */
} nk_project_grad_params;
NK_API int nk_project_bwd(const nk_project_grad_params *p);

/* Sorts the visible splats by depth and says how many (splat, tile) pairs they need room for. The one call that waits
 * for a GPU, since memory has to be found for the pairs; nk_photo_step calls it, too. */
typedef struct nk_bin_params {
  int32_t threads;
  int32_t N;
  int32_t M; /* visible splats: out */
  int32_t width;
  int32_t height;
  int32_t parts1; /* parts + 1; a part of the sorted splats is the work of one thread at a time: on a GPU N parts */
  int64_t pairs;  /* room that nk_fill needs: out */
  const float *splats; /* [N, NK_SPLAT_SIZE] */
  int32_t *order;      /* [N] the visible splats, near to far: order[0 .. M] */
  int64_t *room;       /* [parts1] pairs that each part's splats need room for, running sums */
} nk_bin_params;
NK_API int nk_bin(nk_bin_params *p);

/* Lists the splats of each tile, near to far. An instance is a (splat, tile) pair; the instances of tile t are
 * tile_offsets[t] .. tile_offsets[t + 1]. */
typedef struct nk_fill_params {
  int32_t threads;
  int32_t N;
  int32_t M;
  int32_t T; /* tiles */
  int32_t width;
  int32_t height;
  int32_t T1;              /* T + 1 */
  int32_t TP;              /* tiles * parts */
  int32_t I;               /* room for instances: nk_bin's pairs */
  int32_t parts1;          /* parts + 1 */
  int64_t instances;       /* out, at most I */
  const float *splats;     /* [N, NK_SPLAT_SIZE] */
  const int32_t *order;    /* [N] from nk_bin */
  const int64_t *room;     /* [parts1] from nk_bin */
  int32_t *notes;          /* [I] or NULL; scratch of a CPU, like the next two */
  int32_t *tiles_of_splat; /* [N] or NULL */
  int32_t *part_counts;    /* [TP] or NULL */
  int32_t *tile_offsets;   /* [T1] */
  int32_t *indices;        /* [I] the splat of each instance */
  uint8_t *reach;          /* [I] bit r: the splat reaches part r of the tile, a row, or on a GPU 8x4 pixels */
} nk_fill_params;
NK_API int nk_fill(nk_fill_params *p);

/* Composites the splats of every tile, front to back. C channels: 3 (rgb), 4 (rgb, depth) or 7 (rgb, depth, normal).
 * A splat's depth at a pixel is that of its mean plus its slope times the way from the mean to the pixel's centre. */
typedef struct nk_rasterize_params {
  int32_t threads;
  int32_t N;
  int32_t C;
  int32_t H;
  int32_t W;
  int32_t I;
  int32_t T;
  int32_t T1;
  const float *splats;         /* [N, NK_SPLAT_SIZE] */
  const float *slopes;         /* [N, 2] or NULL; needed with depth */
  const int32_t *tile_offsets; /* [T1] */
  const int32_t *indices;      /* [I] */
  const uint8_t *reach;        /* [I] */
  int32_t *walked;             /* [T] the instances of each tile that were drawn before it was full: out */
  const float *background;     /* [3] on the host; behind the rgb channels */
  float *image;                /* [C, H, W] */
  float *alpha;                /* [H, W] */
  float *median_depth; /* [H, W] or NULL; mean depth of the middle half of the light, 0 where less than half is gone */
} nk_rasterize_params;
NK_API int nk_rasterize_fwd(const nk_rasterize_params *p);

/* The gradient of nk_rasterize_fwd with respect to the splats. */
typedef struct nk_rasterize_grad_params {
  int32_t threads;
  int32_t N;
  int32_t C;
  int32_t H;
  int32_t W;
  int32_t I;
  int32_t T;
  int32_t T1;
  int32_t absolute;            /* 1: the gradient's NK_GRAD_ABS_X, NK_GRAD_ABS_Y are wanted, else zero */
  const float *splats;         /* [N, NK_SPLAT_SIZE] */
  const float *slopes;         /* [N, 2] or NULL; needed with depth */
  const int32_t *tile_offsets; /* [T1] */
  const int32_t *indices;      /* [I] */
  const uint8_t *reach;        /* [I] */
  const int32_t *walked;       /* [T] from nk_rasterize_fwd */
  const float *image;          /* [C, H, W] */
  const float *alpha;          /* [H, W] */
  const float *grad_image;     /* [C, H, W] */
  const float *grad_alpha;     /* [H, W] or NULL */
  int64_t S;                   /* threads * N * NK_SPLAT_SIZE, and with depth threads * N * 2 more */
  float *scratch;              /* [S] or NULL; one gradient buffer a thread of a CPU */
  float *grad_splats;          /* [N, NK_SPLAT_SIZE] of culled splats anything */
  float *grad_slopes;          /* [N, 2] or NULL; needed with depth; of culled splats anything */
} nk_rasterize_grad_params;
NK_API int nk_rasterize_bwd(const nk_rasterize_grad_params *p);

/* Adds to each splat's running sum and count the length of its screen-space position gradient, in units of half
 * the image (Kerbl et al. 2023, section 5.2), for the splats that were drawn. The gradient is the absolute one
 * (Ye et al. 2024, AbsGS, eq. 6): what pulls a large splat's pixels in different directions does not cancel. */
typedef struct nk_splat_stats_params {
  int32_t threads;
  int32_t N;
  int32_t width;
  int32_t height;
  const float *splats;      /* [N, NK_SPLAT_SIZE] */
  const float *grad_splats; /* [N, NK_SPLAT_SIZE] */
  float *grad_sum;          /* [N] */
  float *count;             /* [N] */
} nk_splat_stats_params;
NK_API int nk_splat_stats(const nk_splat_stats_params *p);
