// What the loss of one stretch of a minibatch gets and gives: plain data, shared by the binding and by every
// instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace walkies {

constexpr int64_t kMostActions = 256;  // whose numbers lie on the stack, 16 samples at a time

// What the clipped surrogate (Schulman et al. 2017, eq. 7) is made of, under diagonal Gaussians.
struct PolicyLoss {
  int64_t actions;
  bool bounded;  // the mean is the tanh of the network's outputs
  float clip;    // ε
  // One row or number of each sample of the batch.
  const float *sample, *old_mean, *old_log_prob, *advantage, *mask;
  // For every action: log σ, 1/σ, log σ_old, (σ_old / σ)².
  const float *log_std, *inverse_std, *old_log_std, *ratio;
  // Advantages are centred and scaled by this; the gradient is of a sum that is multiplied by `share`.
  float shift, scale, share;
};

struct PolicySums {
  double loss, kl, clipped;
};

// The value function's loss, halved squares, the larger of two where `clips`.
struct ValueLoss {
  bool clips;
  float clip;
  const float *target, *old_value, *mask;  // of the batch
  float share;
};

// Losses of one instruction set, of `rows` samples that are `row` of the batch, given the networks' outputs. Gradients
// are by these outputs; what is summed over samples is added to `sums` and `log_std_gradient` (actions).
struct LossKernel {
  const char* isa;
  void (*policy)(const PolicyLoss&, int64_t rows, const int32_t* row, const float* outputs, float* gradient,
                 double* log_std_gradient, PolicySums* sums);
  void (*value)(const ValueLoss&, int64_t rows, const int32_t* row, const float* outputs, float* gradient,
                double* loss);
};

}  // namespace walkies
