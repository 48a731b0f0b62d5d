// The epochs of PPO's update as one XLA custom call: for every minibatch both networks forwards, the losses, both
// networks backwards, global-norm gradient clipping, the step size that follows the KL, and Adam.
//
// Some hundred samples go all the way through a network, its loss and back while they are in the cache. Sums over
// samples are those of kParts parts of the minibatch, in their order, so no bit depends on the number of threads.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../common/ffi.h"
#include "../common/instruction_sets.h"
#include "../common/memory.h"
#include "../common/parallel.h"
#include "../common/rows.h"
#include "adam_step.h"
#include "network_kernel.h"
#include "ppo_call.h"

namespace walkies {

WALKIES_EVERY_ISA(LossKernel, losses)
WALKIES_EVERY_ISA(AdamKernel, adam)

namespace {

namespace ffi = xla::ffi;

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
  float clip = 0, entropy_coefficient = 0, value_clip = 0, stop_kl = 0;
  float low_kl = 0, high_kl = 0, kl_factor = 0, min_rate = 0, max_rate = 0;
  AdamConstants adam{};
};

// One array of parameters with Adam's moments, renewed in place, and its gradient.
struct Array {
  int64_t count;
  float *params, *first, *second, *gradient;
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

Common common(const Batch& batch, const int32_t* row, int64_t rows, bool standardize) {
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
    old_log_std_.assign(log_std().params, log_std().params + n);
    inverse_std_.resize(n), ratio_.resize(n);
    for (Sums& part : sums_) part.log_std_gradient.resize(n);
  }

  // One step on these rows of the batch.
  void minibatch(Team& team, const int32_t* row, const Common& common, float* metrics) {
    for (size_t j = 0; j < inverse_std_.size(); j++) {
      inverse_std_[j] = std::exp(-log_std().params[j]);
      ratio_[j] = std::exp(2.0f * (old_log_std_[j] - log_std().params[j]));
    }
    team.run(kRoles * kParts, [&](int64_t i) { learn(Role(i % kRoles), i / kRoles, row, common); });
    const double log_std_squares = add_sums(common, metrics);
    team.run(kRoles * kParts, [&](int64_t i) { add_parts(side_[i % kRoles], i / kRoles); });
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
    for (Array& array : s.arrays) array.gradient = at, at += array.count;
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

ffi::Error wrong(const std::string& what) { return ffi::Error::InvalidArgument("native PPO: " + what); }

// The arguments or results of a call, one after the other; the first error stays.
template <class List>
struct Reader {
  List& list;
  size_t next = 0;
  std::string error{};

  // The next buffer's data and shape; null after an error.
  template <ffi::DataType type>
  ffi::NativeType<type>* read(std::vector<int64_t>* shape) {
    if (!error.empty()) return nullptr;
    auto buffer = list.template get<ffi::Buffer<type>>(next);
    if (buffer.has_error()) {
      error = "array " + std::to_string(next) + ": " + buffer.error().message();
      return nullptr;
    }
    next++;
    if constexpr (std::is_same_v<List, ffi::RemainingArgs>) {
      const auto sizes = buffer->dimensions();
      shape->assign(sizes.begin(), sizes.end());
      return buffer->typed_data();
    } else {
      const auto sizes = (*buffer)->dimensions();
      shape->assign(sizes.begin(), sizes.end());
      return (*buffer)->typed_data();
    }
  }

  // The next buffer, which must have this shape.
  template <ffi::DataType type>
  ffi::NativeType<type>* read(const std::vector<int64_t>& expected) {
    std::vector<int64_t> shape;
    auto* data = read<type>(&shape);
    if (data && shape != expected) error = "array " + std::to_string(next - 1) + " has the wrong shape";
    return error.empty() ? data : nullptr;
  }
};

bool read_settings(ffi::Dictionary& attributes, Settings& with) {
  const auto get = [&]<class T>(const char* name, T& value) {
    auto found = attributes.get<T>(name);
    if (found.has_value()) value = *found;
    return found.has_value();
  };
  return get("bounded", with.bounded) && get("standardize", with.standardize) && get("adaptive", with.adaptive) &&
         get("value_clipped", with.value_clipped) && get("clip", with.clip) &&
         get("entropy_coefficient", with.entropy_coefficient) && get("value_clip", with.value_clip) &&
         get("stop_kl", with.stop_kl) && get("low_kl", with.low_kl) && get("high_kl", with.high_kl) &&
         get("kl_factor", with.kl_factor) && get("min_rate", with.min_rate) && get("max_rate", with.max_rate) &&
         get("max_norm", with.adam.max_norm) && get("epsilon", with.adam.epsilon) &&
         get("first_decay", with.adam.first_decay) && get("second_decay", with.adam.second_decay);
}

int64_t product(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

// Arguments: rows of every minibatch (epochs, minibatches, size); observations of policy and critic (samples, features);
// the Batch; then for policy and critic step size, number of Adam's steps, and all arrays of parameters, of first and of
// second moments. Results: metrics (epochs, minibatches, kMetrics), then for both step size, number of steps and arrays.
ffi::Error update(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, ffi::Dictionary attributes) {
  const Kernels kernels = {network_kernel(), WALKIES_CHOSEN(losses), WALKIES_CHOSEN(adam)};
  if (!kernels.networks) return wrong("no instruction set; `walkies doctor` says more");
  Settings with;
  auto activation = attributes.get<int64_t>("activation");
  ffi::ErrorOr<int64_t> layers[kRoles] = {attributes.get<int64_t>("layers"), attributes.get<int64_t>("critic_layers")};
  if (!activation.has_value() || !layers[0].has_value() || !layers[1].has_value() ||
      !read_settings(attributes, with)) {
    return wrong("an attribute is missing");
  }
  Reader<ffi::RemainingArgs> in{args};
  Reader<ffi::RemainingRets> out{rets};
  std::vector<int64_t> order_shape, observation_shape[kRoles], sample_shape;
  const int32_t* order = in.read<ffi::S32>(&order_shape);
  const float* observations[kRoles] = {in.read<ffi::F32>(&observation_shape[0]), in.read<ffi::F32>(&observation_shape[1])};
  Batch batch{};
  batch.sample = in.read<ffi::F32>(&sample_shape);
  if (!in.error.empty()) return wrong(in.error);
  if (order_shape.size() != 3 || sample_shape.size() != 2) return wrong("orders or samples have the wrong shape");
  batch.samples = sample_shape[0], batch.actions = sample_shape[1];
  if (batch.actions > kMostActions) return wrong("at most " + std::to_string(kMostActions) + " actions are possible");
  batch.old_mean = in.read<ffi::F32>(sample_shape);
  for (const float** numbers : {&batch.old_log_prob, &batch.advantage, &batch.target, &batch.value, &batch.mask}) {
    *numbers = in.read<ffi::F32>({batch.samples});
  }
  float* metrics = out.read<ffi::F32>({order_shape[0], order_shape[1], kMetrics});
  Side side[kRoles];
  float* new_rate[kRoles];
  int32_t* new_steps[kRoles];
  for (int role = 0; role < kRoles; role++) {
    Side& s = side[role];
    const float* rate = in.read<ffi::F32>(std::vector<int64_t>{});
    const int32_t* steps = in.read<ffi::S32>(std::vector<int64_t>{});
    new_rate[role] = out.read<ffi::F32>(std::vector<int64_t>{});
    new_steps[role] = out.read<ffi::S32>(std::vector<int64_t>{});
    if (!in.error.empty() || !out.error.empty()) return wrong(in.error + out.error);
    s.rate = *rate, s.steps = *steps, s.observations = observations[role];
    s.call.layers = *layers[role], s.call.activation = *activation;
    if (s.call.layers < 1 || s.call.layers > kMaxLayers) return wrong("too many layers");
    if (*activation < kRelu || *activation > kTanh) return wrong("unknown activation");
    s.arrays.resize(size_t(2 * s.call.layers + (role == kPolicy)));
    std::vector<std::vector<int64_t>> shapes(s.arrays.size());
    for (float* Array::*set : {&Array::params, &Array::first, &Array::second}) {
      for (size_t i = 0; i < s.arrays.size(); i++) {
        std::vector<int64_t> shape;
        const float* old = in.read<ffi::F32>(&shape);
        if (set == &Array::params) shapes[i] = shape, s.arrays[i].count = product(shape);
        float* data = out.read<ffi::F32>(shapes[i]);
        if (!in.error.empty() || !out.error.empty()) return wrong(in.error + out.error);
        if (shape != shapes[i]) return wrong("moments do not match the parameters");
        if (data != old) std::copy_n(old, s.arrays[i].count, data);
        s.arrays[i].*set = data;
      }
    }
    if (observation_shape[role].size() != 2 || observation_shape[role][0] != batch.samples) {
      return wrong("observations have the wrong shape");
    }
    int64_t width = observation_shape[role][1];
    for (int64_t l = 0; l < s.call.layers; l++) {
      const auto& shape = shapes[size_t(2 * l)];
      if (shape.size() != 2 || shape[0] != width || s.arrays[size_t(2 * l + 1)].count != shape[1]) {
        return wrong("layer " + std::to_string(l) + " does not fit its input of width " + std::to_string(width));
      }
      s.call.layer[l].inputs = width, s.call.layer[l].outputs = shape[1];
      width = shape[1];
    }
    if (width != (role == kPolicy ? batch.actions : 1)) return wrong("a network has the wrong number of outputs");
  }
  if (side[kPolicy].arrays.back().count != batch.actions) return wrong("log σ does not fit the actions");
  for (int64_t i = 0; i < product(order_shape); i++) {
    if (order[i] < 0 || order[i] >= batch.samples) {
      return wrong("row " + std::to_string(order[i]) + " of " + std::to_string(batch.samples) + " was asked for");
    }
  }
  const int64_t steps = order_shape[0] * order_shape[1], rows = order_shape[2];
  Team team(pool);
  std::vector<Common> commons{size_t(steps)};
  for (int64_t i = 0; i < steps; i++) commons[size_t(i)] = common(batch, order + i * rows, rows, with.standardize);
  Update update(kernels, with, batch, rows, side);
  for (int64_t i = 0; i < steps; i++) {
    update.minibatch(team, order + i * rows, commons[size_t(i)], metrics + i * kMetrics);
  }
  for (int role = 0; role < kRoles; role++) *new_rate[role] = side[role].rate, *new_steps[role] = side[role].steps;
  return ffi::Error::Success();
}

}  // namespace
}  // namespace walkies

WALKIES_EXPORT XLA_FFI_Error* walkies_ppo(XLA_FFI_CallFrame* frame) {
  namespace ffi = walkies::ffi;
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .RemainingArgs()
                             .RemainingRets()
                             .Attrs()
                             .To(walkies::update)
                             .release();
  return handler->Call(frame);
}
