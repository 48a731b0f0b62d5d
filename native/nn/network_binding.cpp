// Neural networks as XLA custom calls: what they are given is checked here, once, for every instruction set.
#include <string>

#include "../common/ffi.h"
#include "../common/instruction_sets.h"
#include "../common/memory.h"
#include "../common/parallel.h"
#include "network_kernel.h"

namespace walkies {

WALKIES_EVERY_ISA(NetworkKernel, networks)
#if defined(WALKIES_TILES)
namespace amx {
extern const NetworkKernel networks;
}
#endif

const NetworkKernel* network_kernel() {
#if defined(WALKIES_TILES)
  if (chosen_isa() && tiles_in_use()) return &amx::networks;
#endif
  return WALKIES_CHOSEN(networks);
}

namespace {

namespace ffi = xla::ffi;
using F32 = ffi::Buffer<ffi::F32>;

// All weights as the kernel arranges them.
Memory packed_weights(const NetworkKernel& k, const NetworkCall& call, bool transposed) {
  Memory packed = memory(k.packed_size(call, transposed));
  for (int64_t l = 0; l < call.layers; l++) k.pack(call, transposed, packed.get(), l, 0, call.layer[l].inputs);
  return packed;
}

ffi::Error wrong(const std::string& what) { return ffi::Error::InvalidArgument("native network: " + what); }

// Columns of all hidden layers and of the outputs together. A chunk's activations lie on the stack: 48 rows of them, and
// twice as many of the widest layer backwards, which makes 3 MB at most, of the 8 that threads usually have.
constexpr int64_t kWidest = 8192;

// Arguments: inputs, then the weights and bias of every layer; more may follow.
ffi::Error read(ffi::RemainingArgs& args, int64_t layers, int64_t activation, NetworkCall& call) {
  if (layers < 1 || layers > kMaxLayers) return wrong("1 to " + std::to_string(kMaxLayers) + " layers are possible");
  if (activation < kRelu || activation > kTanh) return wrong("unknown activation");
  call.layers = layers, call.activation = activation;
  auto inputs = args.get<F32>(0);
  if (inputs.has_error()) return inputs.error();
  if (inputs->dimensions().size() != 2) return wrong("inputs must be (samples, features)");
  call.samples = inputs->dimensions()[0], call.inputs = inputs->typed_data();
  int64_t width = inputs->dimensions()[1], columns = 0;
  for (int64_t l = 0; l < layers; l++) {
    auto weights = args.get<F32>(1 + 2 * l), bias = args.get<F32>(2 + 2 * l);
    if (weights.has_error()) return weights.error();
    if (bias.has_error()) return bias.error();
    auto shape = weights->dimensions();
    if (shape.size() != 2 || shape[0] != width || int64_t(bias->element_count()) != shape[1]) {
      return wrong("layer " + std::to_string(l) + " does not fit its input of width " + std::to_string(width));
    }
    call.layer[l] = {width, shape[1], weights->typed_data(), bias->typed_data(), nullptr, nullptr};
    width = shape[1], columns += width;
  }
  if (columns > kWidest) return wrong(std::to_string(columns) + " columns are more than " + std::to_string(kWidest));
  return ffi::Error::Success();
}

bool is(const F32& buffer, int64_t rows, int64_t columns) {
  auto shape = buffer.dimensions();
  return shape.size() == 2 && shape[0] == rows && shape[1] == columns;
}

// Results: outputs (samples, out), and hidden activations if asked for.
ffi::Error forward(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t layers,
                   int64_t activation, int64_t threads) {
  const NetworkKernel* k = network_kernel();
  if (!k) return wrong("no instruction set; `walkies doctor` says more");
  NetworkCall call{};
  if (auto error = read(args, layers, activation, call); error.failure()) return error;
  auto outputs = rets.get<F32>(0);
  if (outputs.has_error()) return outputs.error();
  if (!is(**outputs, call.samples, call.layer[layers - 1].outputs)) return wrong("the result has the wrong shape");
  call.outputs = (*outputs)->typed_data();
  if (rets.size() > 1) {
    auto hidden = rets.get<F32>(1);
    if (hidden.has_error()) return hidden.error();
    if (!is(**hidden, call.samples, call.hidden_width())) return wrong("the hidden result has the wrong shape");
    call.hidden = (*hidden)->typed_data();
  }
  const Memory packed = packed_weights(*k, call, false);
  in_parallel(pool, (call.samples + k->chunk - 1) / k->chunk, threads,
              [&](int64_t chunk) { k->forward(call, packed.get(), chunk); });
  return ffi::Error::Success();
}

// Further arguments: hidden activations, gradient of the outputs. Results: gradients of weights and bias, by layer.
ffi::Error backward(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t layers,
                    int64_t activation, int64_t threads) {
  const NetworkKernel* k = network_kernel();
  if (!k) return wrong("no instruction set; `walkies doctor` says more");
  NetworkCall call{};
  if (auto error = read(args, layers, activation, call); error.failure()) return error;
  auto hidden = args.get<F32>(1 + 2 * layers), gradient = args.get<F32>(2 + 2 * layers);
  if (hidden.has_error()) return hidden.error();
  if (gradient.has_error()) return gradient.error();
  if (!is(*hidden, call.samples, call.hidden_width()) ||
      !is(*gradient, call.samples, call.layer[layers - 1].outputs)) {
    return wrong("hidden activations or output gradient have the wrong shape");
  }
  call.hidden = hidden->typed_data(), call.output_gradient = gradient->typed_data();
  for (int64_t l = 0; l < layers; l++) {
    auto weights = rets.get<F32>(2 * l), bias = rets.get<F32>(2 * l + 1);
    if (weights.has_error()) return weights.error();
    if (bias.has_error()) return bias.error();
    Layer& layer = call.layer[l];
    if (!is(**weights, layer.inputs, layer.outputs) || int64_t((*bias)->element_count()) != layer.outputs) {
      return wrong("the gradient of layer " + std::to_string(l) + " has the wrong shape");
    }
    layer.weights_gradient = (*weights)->typed_data(), layer.bias_gradient = (*bias)->typed_data();
  }
  const Memory packed = packed_weights(*k, call, true);
  const size_t sums = k->partial_size(call);
  const Memory partial = memory(kParts * sums);
  const int64_t size = call.part_size(k->share);
  in_parallel(pool, kParts, threads, [&](int64_t part) {
    const int64_t first = std::min(call.samples, part * size), stop = std::min(call.samples, first + size);
    k->backward(call, packed.get(), partial.get() + size_t(part) * sums, first, stop, false);
  });
  in_parallel(pool, kParts, threads, [&](int64_t piece) { k->sum(call, partial.get(), piece, kParts); });
  return ffi::Error::Success();
}

// A function as XLA calls it. The function is a template argument: each has a handler of its own.
template <auto function>
XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .RemainingArgs()
                             .RemainingRets()
                             .Attr<int64_t>("layers")
                             .Attr<int64_t>("activation")
                             .Attr<int64_t>("threads")
                             .To(function)
                             .release();
  return handler->Call(frame);
}

}  // namespace
}  // namespace walkies

WALKIES_EXPORT XLA_FFI_Error* walkies_network_forward(XLA_FFI_CallFrame* frame) {
  return walkies::handle<walkies::forward>(frame);
}
WALKIES_EXPORT XLA_FFI_Error* walkies_network_backward(XLA_FFI_CallFrame* frame) {
  return walkies::handle<walkies::backward>(frame);
}

// Name of the instruction set that multiplies the networks' matrices; empty where there is none.
WALKIES_EXPORT const char* walkies_network_isa() {
  const walkies::NetworkKernel* k = walkies::network_kernel();
  return k ? k->isa : "";
}
