// Which of the kernels that were compiled is used here.
#pragma once

#include <cstring>
#include <initializer_list>

#include "network_call.h"

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

// The one of the instruction set in use; null where there is none.
template <class Kernel>
const Kernel* choose(std::initializer_list<const Kernel*> kernels) {
  const char* isa = chosen_isa();
  for (const Kernel* kernel : kernels) {
    if (isa && !std::strcmp(kernel->isa, isa)) return kernel;
  }
  return nullptr;
}

}  // namespace walkies
