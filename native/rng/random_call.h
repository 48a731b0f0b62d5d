// What one call for random numbers gets and gives: plain data, shared by the binding and by every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace walkies {

enum RandomKind : int64_t { kBits = 0, kUniform = 1, kNormal = 2 };

// Numbers `begin` … `end` − 1 of the sequence that belongs to a key; out: where number 0 lies, 32 bits each.
struct RandomKernel {
  const char* isa;
  void (*fill)(int64_t kind, const uint32_t* key, int64_t begin, int64_t end, uint32_t* out);
};

}  // namespace walkies
