// The epochs of PPO's update, on plain arrays: for every minibatch both networks forwards, the losses, both networks
// backwards, global-norm gradient clipping, the step size that follows the KL, and Adam.
//
// Some hundred samples go all the way through a network, its loss and back while they are in the cache. Sums over
// samples are those of kParts parts of the minibatch, in their order, so no bit depends on the number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../common/memory.h"
#include "../common/parallel.h"
#include "../common/rows.h"
#include "adam_step.h"
#include "network_kernel.h"
#include "ppo_call.h"

namespace walkies::ppo {

// Columns of the metrics; walkies.accel.ppo names them in this order.
enum Metric { kPolicyLoss, kKl, kEntropy, kClipFraction, kValueLoss, kMetrics };
enum Role { kPolicy, kCritic, kRoles };

struct Kernels {
  const NetworkKernel* networks;
  const LossKernel* losses;
  const AdamKernel* adam;
};

// What the recipe asks for: attributes of the call, of the same names.
struct Settings {
  int64_t bounded = 0, standardize = 0, adaptive = 0, value_clipped = 0;
  int64_t gradient_only = 0;  // nothing moves: the caller has the gradients of others to add first
  float clip = 0, entropy_coefficient = 0, value_clip = 0, stop_kl = 0;
  float low_kl = 0, high_kl = 0, kl_factor = 0, min_rate = 0, max_rate = 0;
  AdamConstants adam{};
};

// One array of parameters with Adam's moments, renewed in place, and its gradient; with `gradient_only` no moments, and a
// gradient that is the call's result.
struct Array {
  int64_t count;
  float *params, *first = nullptr, *second = nullptr, *gradient = nullptr;
};

// Some rows of a layer's weights; those that end it bring its bias.
struct Block {
  int64_t layer, first, stop;
};

// One network and what belongs to it.
struct Side {
  NetworkCall call{};         // its weights are the new ones
  std::vector<Array> arrays;  // weights and bias of each layer; of the policy log σ besides
  const float* observations;  // of the batch
  float rate;
  int32_t steps;  // that Adam has taken
  Memory packed, transposed, partial, gradient;
  size_t sums;  // numbers of a part in `partial`
  std::vector<Block> blocks;
  double squares[kParts];
  AdamSettings step;
};

// Of the batch, one row or number per sample.
struct Batch {
  int64_t samples, actions;
  const float *sample, *old_mean, *old_log_prob, *advantage, *target, *value, *mask;
  const float* old_log_std;  // of all samples
};

// What a minibatch's samples have in common: how many count, and how advantages are centred and scaled.
struct Common {
  float weight, shift, scale;
};

// A part's sums over its samples.
struct Sums {
  PolicySums policy;
  double value;
  std::vector<double> log_std_gradient;
};

inline Common common(const Batch& batch, const int32_t* row, int64_t rows, bool standardize) {
  double weight = 0.0, sum = 0.0, squares = 0.0;
  for (int64_t i = 0; i < rows; i++) {
    weight += double(batch.mask[row[i]]);
    sum += double(batch.advantage[row[i]]) * double(batch.mask[row[i]]);
  }
  if (!standardize) return {float(weight), 0.0f, 1.0f};
  const double count = std::max(weight, 1.0), mean = sum / count;
  for (int64_t i = 0; i < rows; i++) {
    const double centred = (double(batch.advantage[row[i]]) - mean) * double(batch.mask[row[i]]);
    squares += centred * centred;
  }
  return {float(weight), float(mean), float(1.0 / (std::sqrt(squares / count) + 1e-8))};
}

class Update {
 public:
  Update(const Kernels& kernels, const Settings& with, const Batch& batch, int64_t rows, Side (&side)[kRoles])
      : k_(kernels), with_(with), batch_(batch), rows_(rows), side_(side) {
    for (Side& s : side_) prepare(s);
    const size_t n = size_t(batch.actions);
    old_log_std_.assign(batch.old_log_std, batch.old_log_std + n);
    inverse_std_.resize(n), ratio_.resize(n);
    for (Sums& part : sums_) part.log_std_gradient.resize(n);
  }

  // One step on these rows of the batch, or its gradient.
  void minibatch(Team& team, const int32_t* row, const Common& common, float* metrics) {
    for (size_t j = 0; j < inverse_std_.size(); j++) {
      inverse_std_[j] = std::exp(-log_std().params[j]);
      ratio_[j] = std::exp(2.0f * (old_log_std_[j] - log_std().params[j]));
    }
    team.run(kRoles * kParts, [&](int64_t i) { learn(Role(i % kRoles), i / kRoles, row, common); });
    const double log_std_squares = add_sums(common, metrics);
    team.run(kRoles * kParts, [&](int64_t i) { add_parts(side_[i % kRoles], i / kRoles); });
    if (with_.gradient_only) return;
    const float kl = metrics[kKl];
    Side& policy = side_[kPolicy];
    if (with_.adaptive) policy.rate = adapted(policy.rate, kl);
    stopped_ |= kl > with_.stop_kl;
    for (Side& s : side_) {
      double squares = &s == &policy ? log_std_squares : 0.0;
      for (double part : s.squares) squares += part;
      s.step = adam_settings(with_.adam, squares, s.rate, s.steps + 1);
    }
    const int64_t first = stopped_ ? 0 : int64_t(policy.blocks.size());
    team.run(first + int64_t(side_[kCritic].blocks.size()), [&](int64_t i) {
      i < first ? move(policy, policy.blocks[size_t(i)])
                : move(side_[kCritic], side_[kCritic].blocks[size_t(i - first)]);
    });
    side_[kCritic].steps++;
    if (stopped_) return;
    policy.steps++;
    move(policy.step, log_std(), 0, log_std().count);
  }

 private:
  const Kernels& k_;
  const Settings& with_;
  const Batch& batch_;
  const int64_t rows_;
  Side (&side_)[kRoles];
  std::vector<float> old_log_std_, inverse_std_, ratio_;
  Sums sums_[kParts];
  bool stopped_ = false;

  Array& log_std() { return side_[kPolicy].arrays.back(); }

  void prepare(Side& s) {
    size_t numbers = 0;
    for (const Array& array : s.arrays) numbers += size_t(array.count);
    s.gradient = memory(numbers);
    float* at = s.gradient.get();
    for (Array& array : s.arrays) {
      if (!array.gradient) array.gradient = at, at += array.count;
    }
    s.call.samples = rows_;
    for (int64_t l = 0; l < s.call.layers; l++) {
      const Array &weights = s.arrays[size_t(2 * l)], &bias = s.arrays[size_t(2 * l + 1)];
      Layer& layer = s.call.layer[l];
      layer.weights = weights.params, layer.bias = bias.params;
      layer.weights_gradient = weights.gradient, layer.bias_gradient = bias.gradient;
      for (int64_t r = 0; r < layer.inputs; r += kPackedRows) {
        s.blocks.push_back({l, r, std::min(r + kPackedRows, layer.inputs)});
      }
    }
    s.packed = memory(k_.networks->packed_size(s.call, false));
    s.transposed = memory(k_.networks->packed_size(s.call, true));
    s.sums = k_.networks->partial_size(s.call);
    s.partial = memory(kParts * s.sums);
    for (const Block& block : s.blocks) pack(s, block);
  }

  void pack(Side& s, const Block& b) {
    k_.networks->pack(s.call, false, s.packed.get(), b.layer, b.first, b.stop);
    k_.networks->pack(s.call, true, s.transposed.get(), b.layer, b.first, b.stop);
  }

  // One part of the minibatch forwards, through the loss and back, for one network.
  void learn(Role role, int64_t part, const int32_t* row, const Common& common) {
    Side& s = side_[role];
    Sums& sums = sums_[part];
    if (role == kPolicy) {
      sums.policy = {};
      std::fill(sums.log_std_gradient.begin(), sums.log_std_gradient.end(), 0.0);
    } else {
      sums.value = 0.0;
    }
    const int64_t size = s.call.part_size(k_.networks->share), chunk = k_.networks->backward_chunk;
    const int64_t first = std::min(rows_, part * size), stop = std::min(rows_, first + size);
    float* gradient_sums = s.partial.get() + size_t(part) * s.sums;
    if (first == stop) k_.networks->backward(s.call, s.transposed.get(), gradient_sums, 0, 0, false);
    const int64_t inputs = s.call.layer[0].inputs, outputs = s.call.layer[s.call.layers - 1].outputs;
    NetworkCall call = s.call;
    float* at = scratch(size_t(chunk) * size_t(inputs + call.hidden_width() + 2 * outputs + 4 * kLine));
    const auto numbers = [&](int64_t width) {
      float* here = at;
      at += (chunk * width + 15) / 16 * 16;
      return here;
    };
    float *in = numbers(inputs), *gradient = numbers(outputs);
    call.hidden = numbers(call.hidden_width()), call.outputs = numbers(outputs);
    call.inputs = in, call.output_gradient = gradient;
    for (int64_t begin = first; begin < stop; begin += chunk) {
      call.samples = std::min(chunk, stop - begin);
      copy_rows({reinterpret_cast<const char*>(s.observations), reinterpret_cast<char*>(in),
                 size_t(inputs) * sizeof(float)},
                row + begin, 0, call.samples);
      for (int64_t c = 0; c * k_.networks->chunk < call.samples; c++) k_.networks->forward(call, s.packed.get(), c);
      const float share = 1.0f / std::max(common.weight, 1.0f);
      if (role == kPolicy) {
        const PolicyLoss loss = {batch_.actions,        with_.bounded != 0, with_.clip,          batch_.sample,
                                 batch_.old_mean,       batch_.old_log_prob, batch_.advantage,   batch_.mask,
                                 log_std().params,      inverse_std_.data(), old_log_std_.data(), ratio_.data(),
                                 common.shift,          common.scale,        share};
        k_.losses->policy(loss, call.samples, row + begin, call.outputs, gradient, sums.log_std_gradient.data(),
                          &sums.policy);
      } else {
        const ValueLoss loss = {with_.value_clipped != 0, with_.value_clip, batch_.target, batch_.value, batch_.mask,
                                share};
        k_.losses->value(loss, call.samples, row + begin, call.outputs, gradient, &sums.value);
      }
      k_.networks->backward(call, s.transposed.get(), gradient_sums, 0, call.samples, begin > first);
    }
  }

  // This thread's memory of at least `count` numbers: the next part finds it in the cache.
  static float* scratch(size_t count) {
    thread_local Memory kept;
    thread_local size_t size = 0;
    if (size < count) kept = memory(count), size = count;
    return kept.get();
  }

  // Metrics of the minibatch, and the gradient of log σ; the sum of its squares.
  double add_sums(const Common& common, float* metrics) {
    constexpr double half_log_two_pi_e = 1.4189385332046727;
    PolicySums policy{};
    double value = 0.0, entropy = 0.0, squares = 0.0;
    for (const Sums& part : sums_) {
      policy.loss += part.policy.loss, policy.kl += part.policy.kl, policy.clipped += part.policy.clipped;
      value += part.value;
    }
    const double count = std::max(double(common.weight), 1.0), counted = double(common.weight) / count;
    for (int64_t j = 0; j < log_std().count; j++) {
      entropy += (double(log_std().params[j]) + half_log_two_pi_e) * counted;
      double gradient = -double(with_.entropy_coefficient) * counted;
      for (const Sums& part : sums_) gradient += part.log_std_gradient[size_t(j)];
      log_std().gradient[j] = float(gradient);
      squares += double(log_std().gradient[j]) * double(log_std().gradient[j]);
    }
    metrics[kPolicyLoss] = float(policy.loss / count - double(with_.entropy_coefficient) * entropy);
    metrics[kKl] = float(policy.kl / count);
    metrics[kEntropy] = float(entropy);
    metrics[kClipFraction] = float(policy.clipped / count);
    metrics[kValueLoss] = float(value / count);
    return squares;
  }

  // One of kParts shares of the gradient: added up over the parts of the minibatch, and the sum of its squares.
  void add_parts(Side& s, int64_t share) {
    k_.networks->sum(s.call, s.partial.get(), share, kParts);
    double squares = 0.0;
    for (int64_t l = 0; l < s.call.layers; l++) {
      const Layer& layer = s.call.layer[l];
      const int64_t rows = layer.inputs + 1, first = rows * share / kParts, stop = rows * (share + 1) / kParts;
      const int64_t weights_stop = std::min(stop, layer.inputs);
      squares += k_.adam->squares(layer.weights_gradient + first * layer.outputs,
                                  std::max<int64_t>(weights_stop - first, 0) * layer.outputs);
      if (stop == rows) squares += k_.adam->squares(layer.bias_gradient, layer.outputs);
    }
    s.squares[share] = squares;
  }

  float adapted(float rate, float kl) const {
    if (kl > with_.high_kl) rate = rate / with_.kl_factor;
    if (kl > 0.0f && kl < with_.low_kl) rate = rate * with_.kl_factor;
    return std::min(std::max(rate, with_.min_rate), with_.max_rate);
  }

  // Adam's step on some rows of a layer, which are then packed for the next minibatch.
  void move(Side& s, const Block& b) {
    const Layer& layer = s.call.layer[b.layer];
    move(s.step, s.arrays[size_t(2 * b.layer)], b.first * layer.outputs, b.stop * layer.outputs);
    if (b.stop == layer.inputs) move(s.step, s.arrays[size_t(2 * b.layer + 1)], 0, layer.outputs);
    pack(s, b);
  }

  void move(const AdamSettings& step, Array& a, int64_t first, int64_t stop) {
    k_.adam->step(step, stop - first, a.gradient + first, a.params + first, a.first + first, a.second + first,
                  a.params + first, a.first + first, a.second + first);
  }
};

}  // namespace walkies::ppo
