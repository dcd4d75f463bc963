/* Surfaces: depth maps fused into a volume, its mesh, and what a camera sees of one. The rules are in nerfkit.h. */
#pragma once

#include "api.h"

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

/* What a photo shows of P points of a surface that is drawn into it. A point is seen where it lies a pixel or more
 * within the photo, where the cosine of the angle between its normal and the way to the camera is over min_cosine, and
 * where the drawn surface isn't in front of it by more than it recedes by within `slack` pixels. */
typedef struct nk_photo_colors_params {
  int32_t threads;
  int32_t P; /* points */
  int32_t C; /* colours */
  int32_t H;
  int32_t W;
  float min_cosine;
  float slack;                 /* pixels */
  const float *cam_from_world; /* [4, 4] */
  const float *intrinsics;     /* [4] fx fy cx cy */
  const float *positions;      /* [3, P] */
  const float *normals;        /* [3, P] unit */
  const float *depth;          /* [H, W] z of the drawn surface at the pixel's centre, 0 where there is none */
  const float *trust;          /* [H, W] how far a pixel is trusted */
  const float *planes;         /* [C, H, W] */
  float *weight;               /* [P] trust * (cosine * focal length / z)^2; 0: isn't seen */
  float *colors;               /* [C, P] bilinear; 0 where the weight is */
} nk_photo_colors_params;
NK_API int nk_photo_colors(const nk_photo_colors_params *p);
