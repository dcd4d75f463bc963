/* Fields, from a point in space to what is there: encodings and networks. The rules are in nerfkit.h. */
#pragma once

#include "api.h"

/* Points to a cube: x / half, contracted by the maximum norm if asked for (Barron et al. 2022, eq. 10), times `scale`,
 * plus `shift`. */
typedef struct nk_to_cube_params {
  int32_t threads;
  int32_t S;          /* points */
  int32_t contracted; /* 0 or 1 */
  float half;
  float scale;
  float shift;
  const float *points; /* [S, 3] */
  float *cube;         /* [S, 3] */
} nk_to_cube_params;
NK_API int nk_to_cube_fwd(const nk_to_cube_params *p);

/* The gradient of nk_to_cube_fwd. */
typedef struct nk_to_cube_grad_params {
  int32_t threads;
  int32_t S;
  int32_t contracted;
  float half;
  float scale;
  float shift;
  const float *points;    /* [S, 3] */
  const float *grad_cube; /* [S, 3] */
  float *grad_points;     /* [S, 3] */
} nk_to_cube_grad_params;
NK_API int nk_to_cube_bwd(const nk_to_cube_grad_params *p);

/* Multiresolution hash encoding (Mueller et al. 2022, section 3). Level l has the entries offsets[l] .. offsets[l + 1]
 * of the table; where there are fewer than (resolution + 1)^3, vertices share them by a hash, and their number must
 * be a power of two. */
typedef struct nk_hash_encode_params {
  int32_t threads;
  int32_t S;                  /* samples */
  int32_t L;                  /* levels */
  int32_t L1;                 /* L + 1 */
  int32_t P;                  /* entries of all levels */
  int32_t F;                  /* features of an entry: 1, 2, 4 or 8 */
  int32_t LF;                 /* L F */
  const float *positions;     /* [S, 3] in [0, 1]; what lies outside is moved to the border */
  const float *table;         /* [P, F] or NULL */
  const uint16_t *half_table; /* [P, F] or NULL; in place of `table`, on a GPU */
  const int32_t *resolutions; /* [L] on the host; at most NK_GRID_MOST_LEVELS on a GPU */
  const int32_t *offsets;     /* [L1] on the host */
  float *features;            /* [S, LF] */
} nk_hash_encode_params;
NK_API int nk_hash_encode_fwd(const nk_hash_encode_params *p);

/* The gradient of nk_hash_encode_fwd. The same bytes whatever the number of threads. */
typedef struct nk_hash_encode_grad_params {
  int32_t threads;
  int32_t S;
  int32_t L;
  int32_t L1;
  int32_t P;
  int32_t F;
  int32_t LF;
  const float *positions;     /* [S, 3] */
  const float *table;         /* [P, F] or NULL */
  const uint16_t *half_table; /* [P, F] or NULL */
  const int32_t *resolutions; /* [L] on the host */
  const int32_t *offsets;     /* [L1] on the host */
  const float *grad_features; /* [S, LF] */
  float *grad_table;          /* [P, F] */
  float *grad_positions;      /* [S, 3] or NULL */
} nk_hash_encode_grad_params;
NK_API int nk_hash_encode_bwd(const nk_hash_encode_grad_params *p);

/* The positional encoding (Mildenhall et al. 2020, eq. 4, without pi), or with variances the integrated one (Barron
 * et al. 2021, eq. 14): x, then for each frequency j sin(2^j x), cos(2^j x), each of them x y z. */
typedef struct nk_frequency_encode_params {
  int32_t threads;
  int32_t S;              /* samples */
  int32_t L;              /* frequencies */
  int32_t W;              /* 3 + 6 L */
  const float *positions; /* [S, 3] */
  const float *variances; /* [S, 3] or NULL; along each axis */
  float *features;        /* [S, W] */
} nk_frequency_encode_params;
NK_API int nk_frequency_encode_fwd(const nk_frequency_encode_params *p);

/* The gradient of nk_frequency_encode_fwd with respect to the positions. */
typedef struct nk_frequency_encode_grad_params {
  int32_t threads;
  int32_t S;
  int32_t L;
  int32_t W;
  const float *features;      /* [S, W] as nk_frequency_encode_fwd wrote them */
  const float *grad_features; /* [S, W] */
  float *grad_positions;      /* [S, 3] */
} nk_frequency_encode_grad_params;
NK_API int nk_frequency_encode_bwd(const nk_frequency_encode_grad_params *p);

/* Real spherical harmonics at unit directions, in the order of math/spherical_harmonics.h. */
typedef struct nk_sh_encode_params {
  int32_t threads;
  int32_t S;               /* directions */
  int32_t K;               /* (degree + 1)^2 */
  int32_t degree;          /* 0..3 */
  const float *directions; /* [S, 3] unit */
  float *features;         /* [S, K] */
} nk_sh_encode_params;
NK_API int nk_sh_encode_fwd(const nk_sh_encode_params *p);

/* The gradient of nk_sh_encode_fwd: that of its polynomials, which does not lie in the sphere's tangent plane. */
typedef struct nk_sh_encode_grad_params {
  int32_t threads;
  int32_t S;
  int32_t K;
  int32_t degree;
  const float *directions;    /* [S, 3] */
  const float *grad_features; /* [S, K] */
  float *grad_directions;     /* [S, 3] */
} nk_sh_encode_grad_params;
NK_API int nk_sh_encode_bwd(const nk_sh_encode_grad_params *p);

/* A multilayer perceptron without biases: ReLU behind every layer but the last. */
typedef struct nk_mlp_params {
  int32_t threads;
  int32_t S;             /* samples */
  int32_t I;             /* width of the samples' own input */
  int32_t B;             /* rows that samples share */
  int32_t J;             /* width of the shared input, 0 without */
  int32_t O;             /* width of the output */
  int32_t D;             /* layers + 1 */
  int32_t P;             /* weights of all layers */
  int32_t activation;    /* of the last layer: NK_OUTPUT_… ; ReLU follows every other one */
  const float *input;    /* [S, I] */
  const float *shared;   /* [B, J] or NULL; follows a sample's own input */
  const int32_t *index;  /* [S] or NULL; the shared row of each sample */
  const float *weights;  /* [P] matrices [out, in], one layer after the other */
  const int32_t *widths; /* [D] on the host; of the input, I + J, and of what lies behind each layer */
  float *output;         /* [S, O] */
} nk_mlp_params;
NK_API int nk_mlp_fwd(const nk_mlp_params *p);

/* The gradient of nk_mlp_fwd. */
typedef struct nk_mlp_grad_params {
  int32_t threads;
  int32_t S;
  int32_t I;
  int32_t B;
  int32_t J;
  int32_t O;
  int32_t D;
  int32_t P;
  int32_t activation;
  const float *input;       /* [S, I] */
  const float *shared;      /* [B, J] or NULL */
  const int32_t *index;     /* [S] or NULL */
  const float *weights;     /* [P] */
  const int32_t *widths;    /* [D] on the host */
  const float *grad_output; /* [S, O] */
  float *grad_weights;      /* [P] */
  float *grad_input;        /* [S, I] or NULL */
  float *grad_shared;       /* [S, J] or NULL; what each sample adds to the gradient of its shared row */
} nk_mlp_grad_params;
NK_API int nk_mlp_bwd(const nk_mlp_grad_params *p);

/* exp(x + first) / half of the first column of a network's outputs; the power is at most `most`. */
typedef struct nk_exp_density_params {
  int32_t threads;
  int32_t S; /* samples */
  int32_t K; /* columns, at least 1 */
  float first;
  float most;
  float half;
  const float *outputs; /* [S, K] */
  float *density;       /* [S] */
} nk_exp_density_params;
NK_API int nk_exp_density_fwd(const nk_exp_density_params *p);

/* The gradient of nk_exp_density_fwd: zero in the other columns. */
typedef struct nk_exp_density_grad_params {
  int32_t threads;
  int32_t S;
  int32_t K;
  float first;
  float most;
  const float *outputs;      /* [S, K] */
  const float *density;      /* [S] as nk_exp_density_fwd wrote it */
  const float *grad_density; /* [S] */
  float *grad_outputs;       /* [S, K] */
} nk_exp_density_grad_params;
NK_API int nk_exp_density_bwd(const nk_exp_density_grad_params *p);
