// Rows of an array, copied from wherever they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace walkies {

constexpr int64_t kAhead = 6;  // rows that are fetched before they are copied
constexpr size_t kLine = 64;   // bytes of a cache line

struct Copy {
  const char* from;
  char* to;
  size_t bytes;  // of a row
};

// Rows row[begin] … row[end − 1] of an array, to places begin … end − 1. They lie anywhere, so no cache foresees them.
inline void copy_rows(const Copy& copy, const int32_t* row, int64_t begin, int64_t end) {
  if (copy.bytes == sizeof(float)) {
    for (int64_t i = begin; i < end; i++) {
      std::memcpy(copy.to + size_t(i) * sizeof(float), copy.from + size_t(row[i]) * sizeof(float), sizeof(float));
    }
    return;
  }
  for (int64_t i = begin; i < end; i++) {
    if (i + kAhead < end) {
      const char* next = copy.from + size_t(row[i + kAhead]) * copy.bytes;
      for (size_t at = 0; at < copy.bytes; at += kLine) __builtin_prefetch(next + at);
    }
    std::memcpy(copy.to + size_t(i) * copy.bytes, copy.from + size_t(row[i]) * copy.bytes, copy.bytes);
  }
}

}  // namespace walkies
