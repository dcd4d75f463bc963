// The constants of the render core. Python reads them from this file (nerfkit/core/_library.py), so that
// the reference and the kernels cannot drift apart.
#pragma once

#define NK_ABI_VERSION 7

#define NK_NEEDS_SCRATCH 3  // the code of a call that was given too little scratch memory

#define NK_TILE 8                     // pixels along the side of a CPU's tile
#define NK_ALPHA_MIN (1.0f / 255.0f)  // contributions below are not drawn (Kerbl et al. 2023, appendix C)
#define NK_ALPHA_MAX 0.99f            // keeps 1 - alpha away from zero in the backward pass
#define NK_TRANSMITTANCE_MIN 1e-4f    // a pixel with less than this left is full
#define NK_SCREEN_BLUR 0.3f           // added to the 2D covariance: a splat is never thinner than a pixel
#define NK_COVERAGE_MIN 0.005f        // least share of the opacity that the blur leaves an antialiased splat
#define NK_FRUSTUM_MARGIN 1.3f        // the projection's linearisation point stays within this multiple of the view

#define NK_RESAMPLE_PADDING 1e-5f  // added to every weight: where all are zero, intervals count alike

// What follows the last layer of a small network.
#define NK_OUTPUT_LINEAR 0
#define NK_OUTPUT_RELU 1
#define NK_OUTPUT_EXP 2
#define NK_OUTPUT_SIGMOID 3

#define NK_ADAM_RATES 64  // most learning rates of one parameter: they travel with the kernel

#define NK_GRID_MOST_LEVELS 32  // of a hash grid on a GPU

// What a GPU's kernels take of a small network: more goes through PyTorch. As many activations of 16 samples fit into
// the 64 KB of shared memory that every GPU has.
#define NK_MLP_MOST_WIDTH 128
#define NK_MLP_MOST_LAYERS 12

#define NK_BLOCK 8      // voxels along the side of a block of a sparse volume
#define NK_CUBE_ROW 16  // of marching cubes' table: the number of triangles, and three edges for each of up to five

// Camera models, named as in nerfkit/contracts.py.
#define NK_CAMERA_PINHOLE 0
#define NK_CAMERA_OPENCV 1
#define NK_CAMERA_FISHEYE 2
#define NK_CAMERA_EQUIRECT 3

// Columns of a projected splat and of its gradient: 16 floats, one cache line.
#define NK_SPLAT_SIZE 16
#define NK_SPLAT_X 0  // mean, pixels
#define NK_SPLAT_Y 1
#define NK_SPLAT_A 2  // conic: inverse 2D covariance [[a, b], [b, c]]
#define NK_SPLAT_B 3
#define NK_SPLAT_C 4
#define NK_SPLAT_OPACITY 5
#define NK_SPLAT_DEPTH 6      // z of the mean, by which splats are sorted; 0 marks a culled splat
#define NK_SPLAT_COLOR 7      // r g b
#define NK_SPLAT_NORMAL 10    // x y z, scene frame, towards the camera
#define NK_SPLAT_EXTENT_X 13  // half the bounding box's width, pixels
#define NK_SPLAT_EXTENT_Y 14  // half the bounding box's height, pixels
#define NK_SPLAT_CUT 15       // drawn where a dx^2 + 2 b dx dy + c dy^2 <= cut = 2 ln(opacity / NK_ALPHA_MIN)

// Columns that only the gradient of a splat has, in the place of values without one: sums over the pixels of the
// absolute gradient of the mean.
#define NK_GRAD_ABS_X 13
#define NK_GRAD_ABS_Y 14
