// Which instruction set is used here: what the processor has, what the system allows, what the user asked for.
#include "instruction_sets.h"

#include <cstdlib>

#include "ffi.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(WALKIES_TILES) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace walkies {
namespace {

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

const Processor& processor() {
  static const Processor here;
  return here;
}

// Best first.
constexpr const char* kInstructionSets[] = {"avx512", "avx2", "baseline"};
#else
constexpr const char* kInstructionSets[] = {"baseline"};
#endif

bool supported(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx2") return processor().avx2;
  if (isa == "avx512") return processor().avx512;
#endif
  return isa == "baseline";
}

// WALKIES_ISA, or null where it says nothing.
const char* forced() {
  const char* value = std::getenv("WALKIES_ISA");
  return value && *value ? value : nullptr;
}

ChosenIsa choose_isa() {
  const char* named = forced();
  std::string names;
  for (const char* isa : kInstructionSets) {
    names += (names.empty() ? "" : ", ") + std::string(isa);
    if (named ? std::string(named) == isa : supported(isa)) {
      if (supported(isa)) return {isa, ""};
      return {nullptr, std::string("WALKIES_ISA=") + named + ", but this processor lacks " + named +
                           "; unset WALKIES_ISA, or choose another of: avx512, avx2, baseline"};
    }
  }
  return {nullptr, std::string("WALKIES_ISA=") + named + " is not known; expected one of: " + names};
}

// The tiles' state is large: Linux gives it only to processes that ask (ARCH_REQ_XCOMP_PERM), and refuses where a
// signal handler's stack could not hold it.
bool tiles_granted() {
#if defined(WALKIES_TILES) && defined(__linux__)
  constexpr long ask = 0x1023, tile_data = 18;
  return processor().tiles && syscall(SYS_arch_prctl, ask, tile_data) == 0;
#else
  return false;
#endif
}

}  // namespace

const ChosenIsa& chosen() {
  static const ChosenIsa choice = choose_isa();
  return choice;
}

bool tiles_in_use() {
  static const bool granted = tiles_granted();
  return granted && !forced();
}

}  // namespace walkies

// Raised with every change of what a custom call takes or gives.
WALKIES_EXPORT int32_t walkies_edition() { return 3; }

// Name of the instruction set in use, or the reason why there is none, after "error: ".
WALKIES_EXPORT const char* walkies_isa() {
  static const std::string text =
      walkies::chosen_isa() ? walkies::chosen_isa() : "error: " + walkies::chosen().error;
  return text.c_str();
}
