// What one call of the engine gets and gives: plain data, shared by the binding and by every instruction set's kernel.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

namespace walkies {

struct SolverSettings {
  int iterations;         // Newton steps at most
  int line_search;        // points per line search at most, after the full step
  double line_tolerance;  // a line search ends at a slope this small relative to its first
  double tolerance;       // Newton ends at a squared decrement this small relative to the energy xᵀMx
};

// Row-major arrays, one row per robot; T is float or double. Names as in walkies.sim.base.
template <class T>
struct Call {
  int64_t robots;
  int64_t param_rows;  // robots, or 1 for parameters shared by all
  int substeps;        // physics steps, 0 for the readings of the state as it is
  SolverSettings solver;

  const T *params, *qpos, *qvel, *warmstart;
  const T* targets;  // substeps × joints numbers per robot
  const T* push;     // 3 numbers per robot: force on the base (world), or null
  T *qpos_out, *qvel_out, *warmstart_out;
  T *distance, *force, *position, *velocity, *torque, *acceleration;
  T* imu;  // substeps × 6 numbers per robot
  uint8_t* ok;
};

// The engine in one number type and one instruction set.
template <class T>
struct Kernel {
  int lanes;
  size_t model_bytes;  // memory that `load` fills
  // Of a sound robot: the binding has checked it. The model goes on reading `terrain` and `cells`.
  void (*load)(const double* constants, const T* terrain, const int32_t* cells, void* model);
  void (*run)(const void* model, const Call<T>& call, int64_t block);  // robots block·lanes … + lanes − 1
};

// The kernels of one instruction set.
struct KernelTable {
  const char* isa;
  Kernel<float> single;
  const Kernel<double>* exact;  // in the baseline only
};

}  // namespace walkies
