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
const Kernel<T>* find_kernel() {
  if constexpr (sizeof(T) == 8) return baseline::table.exact;
  const KernelTable* kernels = WALKIES_CHOSEN(table);
  if constexpr (sizeof(T) == 4) return &kernels->single;
}

ffi::Error wrong(const std::string& what) { return ffi::Error::InvalidArgument("the engine: " + what); }

template <class T>
constexpr ffi::DataType kNumbers = sizeof(T) == 4 ? ffi::DataType::F32 : ffi::DataType::F64;

bool whole(double x, int low, int high) { return x >= low && x <= high && x == int(x); }

bool fits(const TouchNumbers& t, const ModelNumbers& model) {
  return whole(t.surface, 0, int(model.surfaces) - 1) && whole(t.condim, 1, 6);
}

// Whether static geoms fit: their numbers, which are those after the colliders', and how long `terrain` and `cells` are.
std::string unfit_static(const double* numbers, const ModelNumbers& model, const ColliderNumbers* colliders,
                         int64_t terrain, const int32_t* cells, int64_t cell_count) {
  const std::string wrong = "static geoms are not as they must be";
  const int c = int(model.colliders);
  const auto* kinds = reinterpret_cast<const KindNumbers*>(numbers);
  const auto* touches = reinterpret_cast<const TouchNumbers*>(kinds + int(model.kinds));
  const auto* fields = reinterpret_cast<const FieldNumbers*>(touches + int(model.kinds) * c);
  int64_t begun = 0;
  for (int k = 0; k < int(model.kinds); k++) {
    const KindNumbers& at = kinds[k];
    if (!whole(at.boxes, 0, kMaxBoxes) || !whole(at.near, 0, kMaxNear) || !whole(at.columns, 0, kMaxCells) ||
        !whole(at.rows, 0, kMaxCells) || at.columns * at.rows > kMaxCells) {
      return wrong;
    }
    const int count = int(at.columns * at.rows);
    terrain -= count + int(at.boxes) * kBoxNumbers;
    for (int i = 0; i < c; i++) {
      if (!fits(touches[k * c + i], model)) return wrong;
    }
    if (count == 0) continue;
    const int32_t* start = cells + begun;
    if (begun + count + 1 > cell_count || start[0] != 0) return wrong;
    for (int i = 0; i < count; i++) {
      if (start[i + 1] < start[i] || start[i + 1] - start[i] > int(at.near)) return wrong;
    }
    begun += count + 1 + start[count];
    if (begun > cell_count) return wrong;
    for (int i = 0; i < start[count]; i++) {
      if (start[count + 1 + i] < 0 || start[count + 1 + i] >= int(at.boxes)) return wrong;
    }
  }
  for (int f = 0; f < int(model.fields); f++) {
    const FieldNumbers& at = fields[f];
    if (!whole(at.kind, 0, int(model.kinds) - 1) || !whole(at.columns, 2, 1 << 15) || !whole(at.rows, 2, 1 << 15)) {
      return wrong;
    }
    terrain -= int64_t(at.columns) * int64_t(at.rows);
    for (int i = 0; i < c; i++) {
      const TouchNumbers& touch = touches[int(at.kind) * c + i];
      const int across = cells_below(colliders[i], touch, 2 * at.half_x / (at.columns - 1));
      const int along = cells_below(colliders[i], touch, 2 * at.half_y / (at.rows - 1));
      if (meets(touch) && 2 * across * along > kMaxPrisms) return wrong;
    }
  }
  return terrain == 0 && begun == cell_count ? "" : wrong;
}

// Whether the constants are those of a robot that fits: walkies.sim.engine.check names the element that does not, so
// this only keeps the kernels from reading and writing where they must not.
std::string unfit(ffi::Span<const double> constants, int64_t terrain, const int32_t* cells, int64_t cell_count) {
  if (constants.size() < size_t(kModelNumbers)) return "no constants of a model";
  const auto& model = *reinterpret_cast<const ModelNumbers*>(constants.begin());
  if (!whole(model.joints, 1, kMaxJoints)) return "1 to " + std::to_string(kMaxJoints) + " joints are possible";
  if (!whole(model.colliders, 1, kMaxColliders)) {
    return "1 to " + std::to_string(kMaxColliders) + " colliders are possible";
  }
  if (!whole(model.implicit, kNothing, kPassiveAndServo)) return "an unknown integrator";
  if (!whole(model.surfaces, 1, kMaxSurfaces)) {
    return "1 to " + std::to_string(kMaxSurfaces) + " surfaces are possible";
  }
  if (!whole(model.pairs, 0, kMaxPairs)) return "0 to " + std::to_string(kMaxPairs) + " pairs are possible";
  if (!whole(model.kinds, 0, kMaxKinds) || !whole(model.fields, 0, kMaxFields)) return "too many static geoms";
  const int n = int(model.joints), c = int(model.colliders), p = int(model.pairs);
  const int expected = count_constants(n, c, p, int(model.kinds), int(model.fields));
  if (constants.size() != size_t(expected)) {
    return "got " + std::to_string(constants.size()) + " model constants, expected " + std::to_string(expected);
  }
  const auto* joint = reinterpret_cast<const JointNumbers*>(constants.begin() + kModelNumbers);
  const auto* collider = reinterpret_cast<const ColliderNumbers*>(joint + n);
  for (int j = 0; j < n; j++) {
    if (!whole(joint[j].parent, -1, j - 1)) return "joint " + std::to_string(j) + " hangs from none before it";
  }
  for (int i = 0; i < c; i++) {
    const ColliderNumbers& at = collider[i];
    if (!whole(at.joint, -1, n - 1) || !whole(at.shape, kSphere, kCylinder) || !fits(at.ground, model)) {
      return "collider " + std::to_string(i) + " is unknown";
    }
  }
  const auto* pair = reinterpret_cast<const PairNumbers*>(collider + c);
  const auto round = [&](double i, int shape) { return collider[int(i)].shape == shape; };
  for (int i = 0; i < p; i++) {
    const PairNumbers& at = pair[i];
    if (!whole(at.first, 0, c - 1) || !whole(at.second, 0, c - 1) ||
        !(round(at.first, kSphere) || round(at.first, kCapsule)) ||
        !(round(at.second, kCapsule) || (round(at.first, kSphere) && round(at.second, kSphere))) ||
        !whole(at.surface, 0, int(model.surfaces) - 1) ||
        !(at.condim == 1 || at.condim == 3 || at.condim == 4 || at.condim == 6)) {
      return "pair " + std::to_string(i) + " is unknown";
    }
  }
  return unfit_static(reinterpret_cast<const double*>(pair + p), model, collider, terrain, cells, cell_count);
}

template <class T>
ffi::Error step(ffi::ThreadPool pool, In params, In qpos, In qvel, In warmstart, In targets, In push, In terrain,
                In cells, Out qpos_out, Out qvel_out, Out warmstart_out, Out distance, Out force, Out position, Out velocity, Out torque,
                Out acceleration, Out imu, Out ok, ffi::Span<const double> constants, int64_t threads,
                int64_t iterations, int64_t line_search, double line_tolerance, double tolerance) {
  if (!chosen_isa()) return ffi::Error::InvalidArgument(chosen().error);
  const Kernel<T>* kernel = find_kernel<T>();
  const auto* const cell_data = static_cast<const int32_t*>(cells.untyped_data());
  const std::string what = unfit(constants, int64_t(terrain.element_count()), cell_data, int64_t(cells.element_count()));
  if (!what.empty()) return wrong(what);
  const auto& shape = *reinterpret_cast<const ModelNumbers*>(constants.begin());
  if (params.dimensions().size() != 2 || qpos.dimensions().size() != 2 || targets.dimensions().size() != 3) {
    return wrong("an argument has the wrong number of axes");
  }
  const int64_t nu = int64_t(shape.joints), colliders = int64_t(shape.colliders), robots = qpos.dimensions()[0];
  const int64_t columns = count_params(int(nu), int(colliders), int(shape.surfaces));
  auto fits = [](const ffi::AnyBuffer& b, int64_t rows, int64_t width) {
    return b.element_type() == kNumbers<T> && int64_t(b.element_count()) == rows * width && b.dimensions().size() > 0 &&
           b.dimensions()[0] == rows;
  };
  const int64_t param_rows = params.dimensions()[0];
  const int64_t substeps = targets.dimensions()[1];
  const bool pushed = push.element_count() > 0;
  if ((param_rows != robots && param_rows != 1) || !fits(params, param_rows, columns) || !fits(qpos, robots, 7 + nu) ||
      !fits(qvel, robots, 6 + nu) || !fits(warmstart, robots, 6 + nu) || !fits(targets, robots, substeps * nu) ||
      (pushed && !fits(push, robots, 3)) || !fits(*qpos_out, robots, 7 + nu) || !fits(*qvel_out, robots, 6 + nu) ||
      !fits(*warmstart_out, robots, 6 + nu) || !fits(*distance, robots, colliders) ||
      !fits(*force, robots, 3 * colliders) || !fits(*position, robots, 3 * colliders) ||
      !fits(*velocity, robots, 3 * colliders) || !fits(*torque, robots, nu) || !fits(*acceleration, robots, 3) ||
      !fits(*imu, robots, substeps * 6) || int64_t(ok->element_count()) != robots) {
    return wrong("an argument has the wrong shape for " + std::to_string(robots) + " robots");
  }
  if (robots == 0) return ffi::Error::Success();

  auto in = [](In& b) { return static_cast<const T*>(b.untyped_data()); };
  auto out = [](Out& b) { return static_cast<T*>(b->untyped_data()); };
  const auto model = std::make_unique<unsigned char[]>(kernel->model_bytes);
  kernel->load(constants.begin(), in(terrain), cell_data, model.get());
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
  return with_outputs<11>(with_inputs<8>(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>()))
      .Attr<ffi::Span<const double>>("constants")
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
WALKIES_EXPORT XLA_FFI_Error* walkies_terrain_physics_float32(XLA_FFI_CallFrame* frame) {
  return walkies::handle<float>(frame);
}
WALKIES_EXPORT XLA_FFI_Error* walkies_terrain_physics_float64(XLA_FFI_CallFrame* frame) {
  return walkies::handle<double>(frame);
}

// Robots per vector in float32; 0 where no instruction set is in use.
WALKIES_EXPORT int walkies_lanes() {
  using namespace walkies;
  const KernelTable* kernels = WALKIES_CHOSEN(table);
  return kernels ? kernels->single.lanes : 0;
}

// Sizes of layout.h, which walkies.sim.engine.model states once more.
WALKIES_EXPORT const int* walkies_physics_layout() {
  using namespace walkies;
  static const int sizes[] = {kModelNumbers,   kJointNumbers, kColliderNumbers, kBodyParams, kJointParams,
                              kColliderParams, kWorldParams,  kSurfaceParams,   kMaxJoints,  kMaxColliders,
                              kMaxSurfaces,    kPairNumbers,  kMaxPairs,        kKindNumbers, kTouchNumbers,
                              kFieldNumbers,   kBoxNumbers,   kMaxKinds,        kMaxBoxes,    kMaxNear,
                              kMaxCells,       kMaxFields,    kMaxPrisms};
  return sizes;
}
