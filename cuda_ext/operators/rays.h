/* Rays: from cameras, their samples, and what of these is seen. The rules are in nerfkit.h. */
#pragma once

#include "api.h"

/* Unit rays through pixels, in the world's frame. Distortion is inverted by Newton's method. */
typedef struct nk_rays_params {
  int32_t threads;
  int32_t R;     /* rays */
  int32_t C;     /* cameras */
  int32_t model; /* NK_CAMERA_... */
  int32_t width; /* of the photo, like height: a panorama's pixels are angles */
  int32_t height;
  const float *world_from_cam; /* [C, 4, 4] */
  const float *intrinsics;     /* [C, 4] fx fy cx cy, pixels */
  const float *distortion;     /* [C, 4] or NULL; in COLMAP's order; where it is missing, a pinhole is meant */
  const int64_t *camera_index; /* [R] 0 .. C - 1 */
  const float *pixels;         /* [R, 2] */
  float *origins;              /* [R, 3] */
  float *directions;           /* [R, 3] unit */
  float *radii;                /* [R] of the pixels' cones at distance 1 */
} nk_rays_params;
NK_API int nk_rays_fwd(const nk_rays_params *p);

/* The gradient of nk_rays_fwd with respect to the cameras. The same bytes with the same number of threads. */
typedef struct nk_rays_grad_params {
  int32_t threads;
  int32_t R;
  int32_t C;
  int32_t model;
  int32_t width;
  int32_t height;
  const float *world_from_cam;  /* [C, 4, 4] */
  const float *intrinsics;      /* [C, 4] */
  const float *distortion;      /* [C, 4] or NULL */
  const int64_t *camera_index;  /* [R] */
  const float *pixels;          /* [R, 2] */
  const float *grad_origins;    /* [R, 3] */
  const float *grad_directions; /* [R, 3] */
  float *grad_world_from_cam;   /* [C, 4, 4] */
  float *grad_intrinsics;       /* [C, 4] */
  float *grad_distortion;       /* [C, 4] or NULL */
} nk_rays_grad_params;
NK_API int nk_rays_bwd(const nk_rays_grad_params *p);

/* What of a ray lies in the cube [-outer, outer]^3, no nearer than `near`: nothing where both distances are alike. */
typedef struct nk_ray_ranges_params {
  int32_t threads;
  int32_t R; /* rays */
  float outer;
  float near;
  const float *origins;    /* [R, 3] */
  const float *directions; /* [R, 3] */
  float *ranges;           /* [R, 2] */
} nk_ray_ranges_params;
NK_API int nk_ray_ranges(const nk_ray_ranges_params *p);

/* Counts the samples of rays in the occupied cells of a grid. */
typedef struct nk_march_count_params {
  int32_t threads;
  int32_t R;            /* rays */
  int32_t K;            /* cascades */
  int32_t G;            /* cells along a side of each, a multiple of 8 */
  int32_t B;            /* bytes of the grid */
  int32_t most_samples; /* of a ray */
  float half;           /* half the innermost cascade's side; each next one is twice as large */
  float cone;           /* step over distance */
  float least_step;
  float most_step;
  const float *origins;    /* [R, 3] scene frame */
  const float *directions; /* [R, 3] unit */
  const float *ranges;     /* [R, 2] distances between which to look */
  const float *jitter;     /* [R] share of a step by which the first sample is moved, 0..1 */
  const uint8_t *bits;     /* [B] bit x of cell (k, z, y, x), the lowest first */
  int32_t *counts;         /* [R] */
} nk_march_count_params;
NK_API int nk_march_count(const nk_march_count_params *p);

/* Writes the samples that nk_march_count counted, near to far along each ray. */
typedef struct nk_march_fill_params {
  int32_t threads;
  int32_t R;            /* rays */
  int32_t K;            /* cascades */
  int32_t G;            /* cells along a side of each, a multiple of 8 */
  int32_t B;            /* bytes of the grid */
  int32_t most_samples; /* of a ray */
  float half;           /* half the innermost cascade's side; each next one is twice as large */
  float cone;           /* step over distance */
  float least_step;
  float most_step;
  const float *origins;    /* [R, 3] scene frame */
  const float *directions; /* [R, 3] unit */
  const float *ranges;     /* [R, 2] distances between which to look */
  const float *jitter;     /* [R] share of a step by which the first sample is moved, 0..1 */
  const uint8_t *bits;     /* [B] bit x of cell (k, z, y, x), the lowest first */
  int32_t R1;              /* R + 1 */
  int32_t S;               /* samples */
  const int32_t *offsets;  /* [R1] running sums of the counts */
  float *t_start;          /* [S] distance at which a sample begins */
  float *t_end;            /* [S] and ends */
  int32_t *ray_index;      /* [S] */
} nk_march_fill_params;
NK_API int nk_march_fill(const nk_march_fill_params *p);

/* Samples piecewise constant densities along rays by inverting their distribution (Mildenhall et al. 2020, 5.2). */
typedef struct nk_resample_params {
  int32_t threads;
  int32_t R;            /* rays */
  int32_t N;            /* intervals of a ray, at least 1 */
  int32_t N1;           /* N + 1 */
  int32_t M;            /* samples of a ray */
  const float *edges;   /* [R, N1] ascending */
  const float *weights; /* [R, N] at least 0; NK_RESAMPLE_PADDING is added */
  const float *u;       /* [R, M] ascending, in [0, 1) */
  float *t;             /* [R, M] ascending */
} nk_resample_params;
NK_API int nk_resample(const nk_resample_params *p);

/* The intervals between edges as packed samples, as many of each ray. Edges lie on a scale that is even up to `half`,
 * which is 1, and beyond, with disparity, even in the inverse distance. */
typedef struct nk_intervals_params {
  int32_t threads;
  int32_t R;         /* rays */
  int32_t N1;        /* edges of a ray, at least 1 */
  int32_t S;         /* R * (N1 - 1) */
  int32_t R1;        /* R + 1 */
  int32_t disparity; /* 0 or 1 */
  float half;
  const float *edges; /* [R, N1] ascending */
  float *t_start;     /* [S] */
  float *t_end;       /* [S] */
  int32_t *ray_index; /* [S] */
  int32_t *offsets;   /* [R1] */
} nk_intervals_params;
NK_API int nk_intervals(const nk_intervals_params *p);

/* The middles of samples. */
typedef struct nk_sample_points_params {
  int32_t threads;
  int32_t S;                /* samples */
  int32_t R;                /* rays */
  const float *origins;     /* [R, 3] */
  const float *directions;  /* [R, 3] */
  const float *t_start;     /* [S] */
  const float *t_end;       /* [S] */
  const int32_t *ray_index; /* [S] 0 to R - 1 */
  float *points;            /* [S, 3] */
} nk_sample_points_params;
NK_API int nk_sample_points(const nk_sample_points_params *p);

/* The opacities of samples of even density (Max 1995, eq. 3). */
typedef struct nk_opacity_params {
  int32_t threads;
  int32_t S;            /* samples */
  float whole_from;     /* distance from which samples learn by all of their gradient; nearer ones by a share of it */
  const float *density; /* [S] at least 0 */
  const float *t_start; /* [S] */
  const float *t_end;   /* [S] */
  float *alphas;        /* [S] */
  float *share;         /* [S] or NULL; that a sample learns by (Philip & Deschaintre 2023, eq. 3) */
} nk_opacity_params;
NK_API int nk_opacity_fwd(const nk_opacity_params *p);

/* The gradient of nk_opacity_fwd with respect to the density, times the share if there is one. */
typedef struct nk_opacity_grad_params {
  int32_t threads;
  int32_t S;
  const float *t_start;     /* [S] */
  const float *t_end;       /* [S] */
  const float *alphas;      /* [S] as nk_opacity_fwd wrote them */
  const float *share;       /* [S] or NULL */
  const float *grad_alphas; /* [S] */
  float *grad_density;      /* [S] */
} nk_opacity_grad_params;
NK_API int nk_opacity_bwd(const nk_opacity_grad_params *p);

/* Composites packed samples along rays, near to far, by the rasterizer's rule (math/compositing.h). */
typedef struct nk_composite_params {
  int32_t threads;
  int32_t S;              /* samples of all rays */
  int32_t C;              /* channels */
  int32_t R;              /* rays */
  int32_t R1;             /* R + 1 */
  const float *alphas;    /* [S] in [0, 1]; counted as NK_ALPHA_MAX above it */
  const float *values;    /* [S, C] */
  const int32_t *offsets; /* [R1] ray r has the samples offsets[r] .. offsets[r + 1] */
  float *sums;            /* [R, C] of weight times value */
  float *transmittance;   /* [R] left behind the last sample */
  float *weights;         /* [S] */
} nk_composite_params;
NK_API int nk_composite_fwd(const nk_composite_params *p);

/* The gradient of nk_composite_fwd. */
typedef struct nk_composite_grad_params {
  int32_t threads;
  int32_t S;
  int32_t C;
  int32_t R;
  int32_t R1;
  const float *alphas;             /* [S] */
  const float *values;             /* [S, C] */
  const int32_t *offsets;          /* [R1] */
  const float *sums;               /* [R, C] */
  const float *transmittance;      /* [R] */
  const float *weights;            /* [S] */
  const float *grad_sums;          /* [R, C] */
  const float *grad_transmittance; /* [R] or NULL */
  const float *grad_weights;       /* [S] or NULL */
  float *grad_alphas;              /* [S] */
  float *grad_values;              /* [S, C] */
} nk_composite_grad_params;
NK_API int nk_composite_bwd(const nk_composite_grad_params *p);

/* The distortion loss of packed samples, near to far along each ray (Barron et al. 2022, eq. 15). */
typedef struct nk_distortion_params {
  int32_t threads;
  int32_t S; /* samples of all rays */
  int32_t R; /* rays */
  int32_t R1;
  const float *weights;   /* [S] */
  const float *t_start;   /* [S] */
  const float *t_end;     /* [S] */
  const int32_t *offsets; /* [R1] ray r has the samples offsets[r] .. offsets[r + 1] */
  float *loss;            /* [R] */
} nk_distortion_params;
NK_API int nk_distortion_fwd(const nk_distortion_params *p);

/* The gradient of nk_distortion_fwd with respect to the weights. */
typedef struct nk_distortion_grad_params {
  int32_t threads;
  int32_t S;
  int32_t R;
  int32_t R1;
  const float *weights;   /* [S] */
  const float *t_start;   /* [S] */
  const float *t_end;     /* [S] */
  const int32_t *offsets; /* [R1] */
  const float *grad_loss; /* [R] */
  float *grad_weights;    /* [S] */
} nk_distortion_grad_params;
NK_API int nk_distortion_bwd(const nk_distortion_grad_params *p);

/* What weights along rays are more than proposed ones allow (Barron et al. 2022, eq. 13). */
typedef struct nk_missed_params {
  int32_t threads;
  int32_t R;             /* rays */
  int32_t N;             /* proposed intervals of a ray */
  int32_t N1;            /* N + 1 */
  int32_t M;             /* intervals of a ray that are to be allowed */
  int32_t M1;            /* M + 1 */
  const float *edges;    /* [R, N1] ascending */
  const float *proposed; /* [R, N] */
  const float *finer;    /* [R, M1] ascending */
  const float *weights;  /* [R, M] */
  float *loss;           /* [R] */
} nk_missed_params;
NK_API int nk_missed_fwd(const nk_missed_params *p);

/* The gradient of nk_missed_fwd with respect to the proposed weights. */
typedef struct nk_missed_grad_params {
  int32_t threads;
  int32_t R;
  int32_t N;
  int32_t N1;
  int32_t M;
  int32_t M1;
  const float *edges;     /* [R, N1] */
  const float *proposed;  /* [R, N] */
  const float *finer;     /* [R, M1] */
  const float *weights;   /* [R, M] */
  const float *grad_loss; /* [R] */
  float *grad_proposed;   /* [R, N] */
} nk_missed_grad_params;
NK_API int nk_missed_bwd(const nk_missed_grad_params *p);
