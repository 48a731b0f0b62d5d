// The instruction sets that the library was compiled for, and the one of them that is used here.
#pragma once

#include <cstring>
#include <initializer_list>
#include <string>

// Declares what every instruction set has under `name`.
#if defined(__x86_64__)
#define WALKIES_EVERY_ISA(Kernel, name) \
  namespace baseline {                  \
  extern const Kernel name;             \
  }                                     \
  namespace avx2 {                      \
  extern const Kernel name;             \
  }                                     \
  namespace avx512 {                    \
  extern const Kernel name;             \
  }
#define WALKIES_CHOSEN(name) choose({&baseline::name, &avx2::name, &avx512::name})
#else
#define WALKIES_EVERY_ISA(Kernel, name) \
  namespace baseline {                  \
  extern const Kernel name;             \
  }
#define WALKIES_CHOSEN(name) choose({&baseline::name})
#endif

namespace walkies {

// The best instruction set of this machine, or the one that the environment variable WALKIES_ISA names.
struct ChosenIsa {
  const char* name;   // null where there is none
  std::string error;  // why
};
const ChosenIsa& chosen();

// The name of the instruction set in use; null where there is none.
inline const char* chosen_isa() { return chosen().name; }

// Whether to multiply in the processor's matrix tiles: it has them, the system lets us, and nobody named another
// instruction set.
bool tiles_in_use();

// The kernel of the instruction set in use; null where there is none.
template <class Kernel>
const Kernel* choose(std::initializer_list<const Kernel*> kernels) {
  const char* isa = chosen_isa();
  for (const Kernel* kernel : kernels) {
    if (isa && !std::strcmp(kernel->isa, isa)) return kernel;
  }
  return nullptr;
}

}  // namespace walkies
