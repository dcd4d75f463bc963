// A camera without distortion, the same for all lanes.
#pragma once

#include "linalg.h"

namespace nk {

struct Pinhole {
  Mat3<float> rotation;  // cam_from_world
  Vec3<float> translation;
  float fx, fy, cx, cy;
};

NK_HD Pinhole make_pinhole(const float *cam_from_world, const float *intrinsics) {
  const float *m = cam_from_world, *k = intrinsics;
  return {{{{m[0], m[1], m[2]}, {m[4], m[5], m[6]}, {m[8], m[9], m[10]}}}, {m[3], m[7], m[11]}, k[0], k[1], k[2], k[3]};
}

}  // namespace nk
