// The epochs of PPO's update as one XLA custom call: what it is given, checked, for ppo_update.h.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../common/ffi.h"
#include "../common/instruction_sets.h"
#include "../common/meeting.h"
#include "ppo_update.h"

namespace walkies {

WALKIES_EVERY_ISA(LossKernel, losses)
WALKIES_EVERY_ISA(AdamKernel, adam)

namespace {

namespace ffi = xla::ffi;
using namespace ppo;

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
         get("value_clipped", with.value_clipped) && get("gradient_only", with.gradient_only) && get("clip", with.clip) &&
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

// What a call leaves behind.
struct Results {
  Side* side;
  float* metrics;

  void copy_to(const Results& other, int64_t numbers) const {
    std::copy_n(metrics, numbers, other.metrics);
    for (int role = 0; role < kRoles; role++) {
      const Side &from = side[role], &to = other.side[role];
      other.side[role].rate = from.rate, other.side[role].steps = from.steps;
      for (size_t i = 0; i < from.arrays.size(); i++) {
        for (float* Array::*set : {&Array::params, &Array::first, &Array::second}) {
          std::copy_n(from.arrays[i].*set, from.arrays[i].count, to.arrays[i].*set);
        }
      }
    }
  }
};

// Arguments: the device's number; rows of every minibatch (epochs, minibatches, size); the device's part of the
// observations of policy and critic (samples, features), of samples and of old means; the rest of the Batch, of all
// devices; then for policy and critic step size, number of Adam's steps, and all arrays of parameters, of first and of
// second moments. Results: metrics (epochs, minibatches, kMetrics), then for both step size, number of steps and arrays.
//
// With `gradient_only` there is one minibatch, on one device; of both networks there are only the parameters, and in the
// results the gradients by them.
ffi::Error update(ffi::ThreadPool pool, ffi::RunId run, ffi::RemainingArgs args, ffi::RemainingRets rets,
                  ffi::Dictionary attributes) {
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
  std::vector<int64_t> order_shape, observation_shape[kRoles], sample_shape, number_shape;
  const int32_t* device = in.read<ffi::S32>(std::vector<int64_t>{});
  const int32_t* order = in.read<ffi::S32>(&order_shape);
  const float* observations[kRoles] = {in.read<ffi::F32>(&observation_shape[0]), in.read<ffi::F32>(&observation_shape[1])};
  Batch batch{};
  batch.sample = in.read<ffi::F32>(&sample_shape);
  if (!in.error.empty()) return wrong(in.error);
  if (order_shape.size() != 3 || sample_shape.size() != 2) return wrong("orders or samples have the wrong shape");
  const int64_t here = sample_shape[0];  // samples of this device
  batch.actions = sample_shape[1];
  if (batch.actions > kMostActions) return wrong("at most " + std::to_string(kMostActions) + " actions are possible");
  batch.old_mean = in.read<ffi::F32>(sample_shape);
  batch.old_log_prob = in.read<ffi::F32>(&number_shape);
  if (!in.error.empty()) return wrong(in.error);
  batch.samples = product(number_shape);
  for (const float** numbers : {&batch.advantage, &batch.target, &batch.value, &batch.mask}) {
    *numbers = in.read<ffi::F32>(number_shape);
  }
  batch.old_log_std = in.read<ffi::F32>({batch.actions});
  if (with.gradient_only && product(order_shape) != order_shape[2]) return wrong("a gradient is of one minibatch");
  const int64_t devices = here > 0 ? batch.samples / here : 1;
  if (with.gradient_only && devices != 1) return wrong("a gradient is of one device");
  if (devices * here != batch.samples || *device < 0 || *device >= devices) return wrong("parts of unequal size");
  float* metrics = out.read<ffi::F32>({order_shape[0], order_shape[1], kMetrics});
  Side side[kRoles];
  float* new_rate[kRoles];
  int32_t* new_steps[kRoles];
  for (int role = 0; role < kRoles; role++) {
    Side& s = side[role];
    if (!with.gradient_only) {
      const float* rate = in.read<ffi::F32>(std::vector<int64_t>{});
      const int32_t* steps = in.read<ffi::S32>(std::vector<int64_t>{});
      new_rate[role] = out.read<ffi::F32>(std::vector<int64_t>{});
      new_steps[role] = out.read<ffi::S32>(std::vector<int64_t>{});
      if (!in.error.empty() || !out.error.empty()) return wrong(in.error + out.error);
      s.rate = *rate, s.steps = *steps;
    }
    s.observations = observations[role];
    s.call.layers = *layers[role], s.call.activation = *activation;
    if (s.call.layers < 1 || s.call.layers > kMaxLayers) return wrong("too many layers");
    if (*activation < kRelu || *activation > kTanh) return wrong("unknown activation");
    s.arrays.resize(size_t(2 * s.call.layers + (role == kPolicy)));
    std::vector<std::vector<int64_t>> shapes(s.arrays.size());
    for (float* Array::*set : {&Array::params, &Array::first, &Array::second}) {
      if (with.gradient_only && set != &Array::params) break;
      for (size_t i = 0; i < s.arrays.size(); i++) {
        std::vector<int64_t> shape;
        float* old = in.read<ffi::F32>(&shape);
        if (set == &Array::params) shapes[i] = shape, s.arrays[i].count = product(shape);
        float* data = out.read<ffi::F32>(shapes[i]);
        if (!in.error.empty() || !out.error.empty()) return wrong(in.error + out.error);
        if (shape != shapes[i]) return wrong("moments do not match the parameters");
        if (with.gradient_only) {
          s.arrays[i].params = old, s.arrays[i].gradient = data;  // only read
          continue;
        }
        if (data != old) std::copy_n(old, s.arrays[i].count, data);
        s.arrays[i].*set = data;
      }
    }
    if (observation_shape[role].size() != 2 || observation_shape[role][0] != here) {
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
  Results results{side, metrics};
  std::shared_ptr<Meeting> meeting;
  if (devices > 1) {
    const int64_t widths[] = {batch.actions, batch.actions, observation_shape[0][1], observation_shape[1][1]};
    const float** arrays[] = {&batch.sample, &batch.old_mean, &side[0].observations, &side[1].observations};
    int64_t all = 0;
    for (int64_t width : widths) all += width;
    meeting = Meeting::of(run.run_id, devices, size_t(all * batch.samples));
    float* joined = meeting->numbers.get();
    for (int i = 0; i < 4; i++, joined += widths[i - 1] * batch.samples) {
      std::copy_n(*arrays[i], widths[i] * here, joined + *device * widths[i] * here);
      *arrays[i] = joined;
    }
    meeting->wait(1);
    if (*device > 0) {
      meeting->team.follow(*device);
      static_cast<const Results*>(meeting->results)->copy_to(results, product(order_shape) / order_shape[2] * kMetrics);
      for (int role = 0; role < kRoles; role++) *new_rate[role] = side[role].rate, *new_steps[role] = side[role].steps;
      meeting->wait(2);
      return ffi::Error::Success();
    }
    meeting->team.recruit(pool, devices, pool.num_threads());  // where there are more threads than devices
  }
  const int64_t steps = order_shape[0] * order_shape[1], rows = order_shape[2];
  std::optional<Team> alone;
  if (!meeting) alone.emplace(pool, pool.num_threads());
  Team& team = meeting ? meeting->team : *alone;
  std::vector<Common> commons{size_t(steps)};
  for (int64_t i = 0; i < steps; i++) commons[size_t(i)] = common(batch, order + i * rows, rows, with.standardize);
  Update update(kernels, with, batch, rows, side);
  for (int64_t i = 0; i < steps; i++) {
    update.minibatch(team, order + i * rows, commons[size_t(i)], metrics + i * kMetrics);
  }
  if (with.gradient_only) return ffi::Error::Success();
  for (int role = 0; role < kRoles; role++) *new_rate[role] = side[role].rate, *new_steps[role] = side[role].steps;
  if (meeting) {
    meeting->results = &results;
    meeting->team.close();
    meeting->wait(2);
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace walkies

WALKIES_EXPORT XLA_FFI_Error* walkies_ppo(XLA_FFI_CallFrame* frame) {
  namespace ffi = walkies::ffi;
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Ctx<ffi::RunId>()
                             .RemainingArgs()
                             .RemainingRets()
                             .Attrs()
                             .To(walkies::update)
                             .release();
  return handler->Call(frame);
}
