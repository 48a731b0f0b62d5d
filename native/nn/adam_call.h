// What one Adam step gets and gives: plain data, shared by the binding and by every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace walkies {

struct AdamSettings {
  float scale;                     // of the gradient, which shortens one that is too long
  float rate;                      // step size
  float first_decay, second_decay;  // β₁, β₂
  float first_rest, second_rest;    // 1 − β₁, 1 − β₂
  float first_share, second_share;  // 1 / (1 − β₁ᵗ), 1 / (1 − β₂ᵗ)
  float epsilon;
};

// The Adam step of one instruction set, on `count` numbers.
struct AdamKernel {
  const char* isa;
  double (*squares)(const float* gradient, int64_t count);  // their sum
  // Results may lie where the arguments do.
  void (*step)(const AdamSettings& with, int64_t count, const float* gradient, const float* params,
               const float* first, const float* second, float* params_out, float* first_out, float* second_out);
};

}  // namespace walkies
