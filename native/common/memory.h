// Memory for kernels.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace walkies {

// Uninitialized numbers that begin on a cache line.
struct Freed {
  void operator()(float* p) const { ::operator delete[](p, std::align_val_t(64)); }
};
using Memory = std::unique_ptr<float[], Freed>;
inline Memory memory(size_t count) { return Memory(new (std::align_val_t(64)) float[count]); }

}  // namespace walkies
