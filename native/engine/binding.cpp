// The engine as an XLA custom call: choice of kernel, threads, and the binding itself.
#include <memory>
#include <string>

#include "../common/ffi.h"
#include "../common/instruction_sets.h"
#include "../common/parallel.h"
#include "call.h"

namespace walkies {

WALKIES_EVERY_ISA(KernelTable, table)

namespace {

namespace ffi = xla::ffi;

using In = ffi::AnyBuffer;
using Out = ffi::Result<ffi::AnyBuffer>;

template <class T>
const Kernel<T>* find_kernel(int legs, int joints) {
  if constexpr (sizeof(T) == 8) {
    for (int i = 0; i < baseline::table.double_count; i++) {
      const Kernel<double>& k = baseline::table.exact[i];
      if (k.legs == legs && k.joints == joints) return &k;
    }
  } else {
    const KernelTable* table = WALKIES_CHOSEN(table);
    for (int i = 0; table && i < table->count; i++) {
      const Kernel<float>& k = table->single[i];
      if (k.legs == legs && k.joints == joints) return &k;
    }
  }
  return nullptr;
}

constexpr int kParamsPerBody = 11, kParamsPerJoint = 8, kParamsPerRobot = 1 + 3 + 2 + 7;

template <class T>
ffi::Error step(ffi::ThreadPool pool, In params, In qpos, In qvel, In warmstart, In targets, In push, Out qpos_out,
                Out qvel_out, Out warmstart_out, Out distance, Out force, Out position, Out velocity, Out torque,
                Out acceleration, Out imu, Out ok, ffi::Span<const double> constants, int64_t legs, int64_t joints,
                int64_t threads, int64_t iterations, int64_t line_search, double line_tolerance, double tolerance) {
  if (!chosen_isa()) return ffi::Error::InvalidArgument(chosen().error);
  const Kernel<T>* kernel = find_kernel<T>(int(legs), int(joints));
  if (!kernel) {
    return ffi::Error::InvalidArgument("no kernel for " + std::to_string(legs) + " legs of " + std::to_string(joints) +
                                       " joints");
  }
  const int64_t nu = legs * joints, bodies = nu + 1, robots = qpos.dimensions()[0];
  const int64_t columns = bodies * kParamsPerBody + nu * kParamsPerJoint + kParamsPerRobot;
  auto fits = [](const ffi::AnyBuffer& b, int64_t rows, int64_t width) {
    return int64_t(b.element_count()) == rows * width && b.dimensions()[0] == rows;
  };
  const int64_t param_rows = params.dimensions()[0];
  const int64_t substeps = targets.dimensions()[1];
  const bool pushed = push.element_count() > 0;
  if ((param_rows != robots && param_rows != 1) || !fits(params, param_rows, columns) || !fits(qpos, robots, 7 + nu) ||
      !fits(qvel, robots, 6 + nu) || !fits(warmstart, robots, 6 + nu) || !fits(targets, robots, substeps * nu) ||
      (pushed && !fits(push, robots, 3))) {
    return ffi::Error::InvalidArgument("an input of the engine has the wrong shape for " + std::to_string(robots) +
                                       " robots");
  }
  const int64_t spheres = distance->dimensions()[1];
  if (constants.size() != kernel->constants + size_t(6 * spheres)) {
    return ffi::Error::InvalidArgument("the engine was given " + std::to_string(constants.size()) +
                                       " model constants, expected " +
                                       std::to_string(kernel->constants + size_t(6 * spheres)));
  }
  if (robots == 0) return ffi::Error::Success();

  auto in = [](In& b) { return static_cast<const T*>(b.untyped_data()); };
  auto out = [](Out& b) { return static_cast<T*>(b->untyped_data()); };
  const auto model = std::make_unique<unsigned char[]>(kernel->model_bytes);
  kernel->load(constants.begin(), constants.size(), model.get());
  const Call<T> call{robots, param_rows, int(substeps),
                     {int(iterations), int(line_search), line_tolerance, tolerance},
                     in(params), in(qpos), in(qvel), in(warmstart), in(targets), pushed ? in(push) : nullptr,
                     out(qpos_out), out(qvel_out), out(warmstart_out),
                     out(distance), out(force), out(position), out(velocity), out(torque), out(acceleration),
                     out(imu), static_cast<uint8_t*>(ok->untyped_data())};
  in_parallel(pool, (robots + kernel->lanes - 1) / kernel->lanes, threads,
              [&](int64_t block) { kernel->run(model.get(), call, block); });
  return ffi::Error::Success();
}

// A binding with N more array arguments, or results.
template <int N, class Binding>
auto with_inputs(Binding&& binding) {
  if constexpr (N == 1) return std::move(binding).template Arg<ffi::AnyBuffer>();
  else return with_inputs<N - 1>(std::move(binding).template Arg<ffi::AnyBuffer>());
}

template <int N, class Binding>
auto with_outputs(Binding&& binding) {
  if constexpr (N == 1) return std::move(binding).template Ret<ffi::AnyBuffer>();
  else return with_outputs<N - 1>(std::move(binding).template Ret<ffi::AnyBuffer>());
}

auto bind() {
  return with_outputs<11>(with_inputs<6>(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>()))
      .Attr<ffi::Span<const double>>("constants")
      .Attr<int64_t>("legs")
      .Attr<int64_t>("joints")
      .Attr<int64_t>("threads")
      .Attr<int64_t>("iterations")
      .Attr<int64_t>("line_search")
      .Attr<double>("line_tolerance")
      .Attr<double>("tolerance");
}

template <class T>
XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
  static auto* handler = bind().To(step<T>).release();
  return handler->Call(frame);
}

}  // namespace
}  // namespace walkies

// A name is good for one set of arguments and results: where those change, it changes too, and a library from before is
// refused instead of misunderstood.
WALKIES_EXPORT XLA_FFI_Error* walkies_physics_float32(XLA_FFI_CallFrame* frame) { return walkies::handle<float>(frame); }
WALKIES_EXPORT XLA_FFI_Error* walkies_physics_float64(XLA_FFI_CallFrame* frame) { return walkies::handle<double>(frame); }

// Robots per vector in float32; 0 where no instruction set is in use.
WALKIES_EXPORT int walkies_lanes() {
  using namespace walkies;
  const KernelTable* kernels = WALKIES_CHOSEN(table);
  return kernels ? kernels->single[0].lanes : 0;
}
