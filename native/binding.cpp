// The engine as an XLA custom call: choice of kernel, threads, and the binding itself.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(WALKIES_TILES) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "call.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace walkies {

namespace baseline {
extern const KernelTable table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
#endif

namespace {

namespace ffi = xla::ffi;

using In = ffi::AnyBuffer;
using Out = ffi::Result<ffi::AnyBuffer>;

#if defined(__x86_64__)
// What the processor has and the operating system saves at a task switch, asked of the processor itself: the compilers'
// own __builtin_cpu_supports answers "no" where their run-time library is not linked in.
struct Processor {
  bool avx2 = false, avx512 = false, tiles = false;

  Processor() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = c >> 12 & 1, saves_registers = c >> 27 & 1;
    if (!saves_registers || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    const unsigned ymm = 0x6, zmm = 0xe6;
    avx2 = (low & ymm) == ymm && fma && (b >> 5 & 1);
    const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    avx512 = avx2 && (low & zmm) == zmm && (b & f_dq_bw_vl) == f_dq_bw_vl;
    const unsigned tile_state = 0x60000, amx_bf16_tile = 1u << 22 | 1u << 24;
    const bool has_tiles = avx512 && (low & tile_state) == tile_state && (d & amx_bf16_tile) == amx_bf16_tile;
    const bool bf16 = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
    tiles = has_tiles && bf16;
  }
};
#endif

bool supported(const std::string& isa) {
  if (isa == "baseline") return true;
#if defined(__x86_64__)
  static const Processor processor;
  if (isa == "avx2") return processor.avx2;
  if (isa == "avx512") return processor.avx512;
#endif
  return false;
}

struct Choice {
  const KernelTable* table = nullptr;
  std::string error;
};

// The best instruction set of this machine, or the one that WALKIES_ISA names.
Choice choose() {
  std::vector<const KernelTable*> tables;
#if defined(__x86_64__)
  tables = {&avx512::table, &avx2::table};
#endif
  tables.push_back(&baseline::table);
  const char* forced = std::getenv("WALKIES_ISA");
  std::string names;
  for (const KernelTable* t : tables) {
    names += (names.empty() ? "" : ", ") + std::string(t->isa);
    if (forced && *forced ? std::string(forced) == t->isa : supported(t->isa)) {
      if (supported(t->isa)) return {t, ""};
      return {nullptr, std::string("WALKIES_ISA=") + forced + ", but this processor lacks " + forced +
                           "; unset WALKIES_ISA, or choose another of: avx512, avx2, baseline"};
    }
  }
  return {nullptr, std::string("WALKIES_ISA=") + forced + " is not known; expected one of: " + names};
}

const Choice& chosen() {
  static const Choice choice = choose();
  return choice;
}

template <class T>
const Kernel<T>* find_kernel(int legs, int joints) {
  if constexpr (sizeof(T) == 8) {
    for (int i = 0; i < baseline::table.double_count; i++) {
      const Kernel<double>& k = baseline::table.exact[i];
      if (k.legs == legs && k.joints == joints) return &k;
    }
  } else {
    const KernelTable* table = chosen().table;
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
  const Choice& choice = chosen();
  if (!choice.table) return ffi::Error::InvalidArgument(choice.error);
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

#define WALKIES_EXPORT extern "C" __attribute__((visibility("default")))

// A name is good for one set of arguments and results: where those change, it changes too, and a library from before is
// refused instead of misunderstood.
WALKIES_EXPORT XLA_FFI_Error* walkies_physics_float32(XLA_FFI_CallFrame* frame) { return walkies::handle<float>(frame); }
WALKIES_EXPORT XLA_FFI_Error* walkies_physics_float64(XLA_FFI_CallFrame* frame) { return walkies::handle<double>(frame); }

// Name of the instruction set in use, or the reason why there is none, after "error: ".
WALKIES_EXPORT const char* walkies_isa() {
  static const std::string text =
      walkies::chosen().table ? walkies::chosen().table->isa : "error: " + walkies::chosen().error;
  return text.c_str();
}

namespace walkies {
namespace {

// The tiles' state is large: Linux gives it only to processes that ask (ARCH_REQ_XCOMP_PERM), and refuses where a
// signal handler's stack could not hold it.
bool tiles_granted() {
#if defined(WALKIES_TILES) && defined(__linux__)
  constexpr long ask = 0x1023, tile_data = 18;
  return Processor().tiles && syscall(SYS_arch_prctl, ask, tile_data) == 0;
#else
  return false;
#endif
}

}  // namespace

bool tiles_in_use() {
  static const bool granted = tiles_granted();
  const char* forced = std::getenv("WALKIES_ISA");
  return granted && !(forced && *forced);
}

const char* chosen_isa() { return chosen().table ? chosen().table->isa : nullptr; }
}  // namespace walkies

WALKIES_EXPORT int walkies_lanes() { return walkies::chosen().table ? walkies::chosen().table->single[0].lanes : 0; }
