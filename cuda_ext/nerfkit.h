/* The C ABI of the render core. No torch, no Python, no C++ in here.
 *
 * Every operator takes one params struct and returns 0, or an error code with a message in nk_error().
 * nerfkit/core/_library.py reads this file: field types, and the shapes in the comments, become the Python
 * binding and its argument checks. The rules it relies on:
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
#ifndef NERFKIT_H
#define NERFKIT_H

#include <stdint.h>

#include "math/constants.h"

#define NK_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

NK_API int32_t nk_abi_version(void);
NK_API int32_t nk_lanes(void);
NK_API int32_t nk_tile(void);                    /* pixels along the side of a tile of this library's rasterizer */
NK_API const char *nk_error(void);               /* of this thread's last failure */
NK_API int64_t nk_params_size(const char *name); /* sizeof(struct NAME), -1 if unknown */

/* Of a GPU's library; a CPU's takes them and does nothing. All three concern the calling thread. */
NK_API void nk_use_stream(void *stream);                 /* the cudaStream_t of the calls that follow */
NK_API void nk_use_scratch(void *memory, int64_t bytes); /* device memory those calls may use, on that stream */
NK_API int64_t nk_scratch_needed(void);                  /* bytes that the last call wanted */

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
 * for a GPU, since memory has to be found for the pairs. */
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

/* Marks the blocks of voxels that a surface of V depth maps reaches: all that lie within the truncation of it along the
 * line of sight, with a margin of a voxel and half a pixel. What was marked stays so. A pixel counts where its depth
 * and its confidence are more than 0. */
typedef struct nk_tsdf_mark_params {
  int32_t threads;
  int32_t V;
  int32_t H;
  int32_t W;
  int32_t X;
  int32_t Y;
  int32_t Z;
  float voxel_size;
  float truncation;
  const float *origin;         /* [3] on the host; centre of voxel (0, 0, 0) of block (0, 0, 0), scene frame */
  const float *cam_from_world; /* [V, 4, 4] */
  const float *intrinsics;     /* [V, 4] fx fy cx cy */
  const float *depth;          /* [V, H, W] z, 0 where nothing is seen */
  const uint8_t *pixels;       /* [V, H, W, 4] r g b, and the confidence times 255 */
  int32_t *marks;              /* [X, Y, Z] 1: block (x, y, z) is reached */
} nk_tsdf_mark_params;
NK_API int nk_tsdf_mark(const nk_tsdf_mark_params *p);

/* Fuses V depth maps into the blocks of a truncated signed distance volume, in place (Curless & Levoy 1996, section 3).
 * Voxel (x, y, z) of a block is voxel NK_BLOCK * block + (x, y, z) of the grid. */
typedef struct nk_tsdf_integrate_params {
  int32_t threads;
  int32_t V;
  int32_t H;
  int32_t W;
  int32_t B; /* blocks */
  float voxel_size;
  float truncation;
  const float *origin;         /* [3] on the host; centre of voxel (0, 0, 0), scene frame */
  const int32_t *blocks;       /* [B, 3] */
  const float *cam_from_world; /* [V, 4, 4] */
  const float *intrinsics;     /* [V, 4] fx fy cx cy */
  const float *depth;          /* [V, H, W] z, 0 where nothing is seen */
  const uint8_t *pixels;       /* [V, H, W, 4] r g b, and the confidence times 255, 0 to skip the pixel */
  float *tsdf;                 /* [B, NK_BLOCK, NK_BLOCK, NK_BLOCK] in units of the truncation, positive outside */
  float *weight;               /* [B, NK_BLOCK, NK_BLOCK, NK_BLOCK] */
  uint16_t *color;             /* [B, 4, NK_BLOCK, NK_BLOCK, NK_BLOCK] planes r g b in 0..255, and their weight */
} nk_tsdf_integrate_params;
NK_API int nk_tsdf_integrate(const nk_tsdf_integrate_params *p);

/* The first half of marching cubes over blocks: which voxels are inside, which cubes have eight known corners, on which
 * edges there is a vertex. The bit 8 y + z of a block's word x is the voxel (x, y, z), the cube from it on, or the edge
 * along an axis from it on. */
typedef struct nk_cubes_count_params {
  int32_t threads;
  int32_t B;
  float min_weight;         /* a voxel with less is not known */
  const int32_t *neighbors; /* [B, 27] index of the block at (x, y, z) - 1 from it, z fastest; -1 where there is none */
  const uint8_t *triangles; /* [256, NK_CUBE_ROW] number of triangles of a cube by its corners' signs; their edges */
  const float *tsdf;        /* [B, NK_BLOCK, NK_BLOCK, NK_BLOCK] */
  const float *weight;      /* [B, NK_BLOCK, NK_BLOCK, NK_BLOCK] */
  int64_t *inside;          /* [B, NK_BLOCK] */
  int64_t *known;           /* [B, NK_BLOCK] */
  int64_t *cubes;           /* [B, NK_BLOCK] */
  int64_t *edges;           /* [B, 3, NK_BLOCK] */
  int32_t *vertex_counts;   /* [B, 3, NK_BLOCK] of each word of edges */
  int32_t *face_counts;     /* [B, NK_BLOCK] of each word of cubes */
} nk_cubes_count_params;
NK_API int nk_cubes_count(const nk_cubes_count_params *p);

/* The second half: vertices where the distance is zero, faces counter-clockwise seen from outside. */
typedef struct nk_cubes_fill_params {
  int32_t threads;
  int32_t B;
  int32_t P; /* vertices */
  int32_t F; /* faces */
  float voxel_size;
  const float *origin;         /* [3] on the host */
  const int32_t *blocks;       /* [B, 3] */
  const int32_t *neighbors;    /* [B, 27] */
  const uint8_t *triangles;    /* [256, NK_CUBE_ROW] */
  const float *tsdf;           /* [B, NK_BLOCK, NK_BLOCK, NK_BLOCK] */
  const uint16_t *color;       /* [B, 4, NK_BLOCK, NK_BLOCK, NK_BLOCK] */
  const int64_t *inside;       /* [B, NK_BLOCK] from nk_cubes_count, like the next two */
  const int64_t *cubes;        /* [B, NK_BLOCK] */
  const int64_t *edges;        /* [B, 3, NK_BLOCK] */
  const int32_t *first_vertex; /* [B, 3, NK_BLOCK] sums of the counts before */
  const int32_t *first_face;   /* [B, NK_BLOCK] likewise */
  float *vertices;             /* [P, 3] scene frame */
  uint8_t *colors;             /* [P, 3] */
  int32_t *faces;              /* [F, 3] */
} nk_cubes_fill_params;
NK_API int nk_cubes_fill(const nk_cubes_fill_params *p);

/* Draws the nearest face of a triangle mesh at every pixel: both sides of faces, by the top-left rule on corners
 * snapped to 1/256 of a pixel, so that faces with a common edge leave no pixel out and share none. Of faces at one
 * depth it is the first. Left out are faces with a corner whose depth is not positive, or that lies 2^21 pixels away.
 */
typedef struct nk_draw_mesh_params {
  int32_t threads;
  int32_t V; /* vertices */
  int32_t F; /* faces */
  int32_t H;
  int32_t W;
  const float *vertices; /* [V, 3] x y in pixels, and depth; with all depths 1 the mesh is flat: a texture's */
  const int32_t *faces;  /* [F, 3] */
  int32_t *face;         /* [H, W] -1 where there is none */
  float *barycentrics;   /* [H, W, 3] of the point of the face in space; 0 where there is none */
  float *depth;          /* [H, W] 0 where there is none */
} nk_draw_mesh_params;
NK_API int nk_draw_mesh_fwd(const nk_draw_mesh_params *p);

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

#ifdef __cplusplus
}
#endif
#endif
