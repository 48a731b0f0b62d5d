// Random numbers and permutations as XLA custom calls.
#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <vector>

#include "../common/ffi.h"
#include "../common/instruction_sets.h"
#include "../common/parallel.h"
#include "random_call.h"

namespace walkies {

WALKIES_EVERY_ISA(RandomKernel, random_numbers)

namespace {

namespace ffi = xla::ffi;
using Key = ffi::Buffer<ffi::U32>;

constexpr int64_t kPerPiece = 4096;  // numbers: some microseconds, what it takes to wake a helper
constexpr int kDigit = 11;           // bits that one pass of the sort looks at

ffi::Error wrong(const std::string& what) { return ffi::Error::InvalidArgument("native random numbers: " + what); }

void fill(ffi::ThreadPool& pool, int64_t threads, const RandomKernel& k, int64_t kind, const uint32_t* key,
          int64_t count, uint32_t* out) {
  in_parallel(pool, (count + kPerPiece - 1) / kPerPiece, threads, [&](int64_t piece) {
    k.fill(kind, key, piece * kPerPiece, std::min(count, (piece + 1) * kPerPiece), out);
  });
}

// Argument: a key of two words. Result: any shape of numbers.
ffi::Error numbers(ffi::ThreadPool pool, Key key, ffi::Result<ffi::Buffer<ffi::F32>> out, int64_t kind,
                   int64_t threads) {
  const RandomKernel* k = WALKIES_CHOSEN(random_numbers);
  if (!k) return wrong("no instruction set; `walkies doctor` says more");
  if (key.element_count() != 2) return wrong("a key has two words");
  if (kind != kUniform && kind != kNormal) return wrong("unknown kind");
  fill(pool, threads, *k, kind, key.typed_data(), int64_t(out->element_count()),
       static_cast<uint32_t*>(out->untyped_data()));
  return ffi::Error::Success();
}

// Argument: a key of two words. Result: 0 … n − 1 in the order of n random numbers, equal ones in that of their indices.
// A number counts by its upper 32 − width bits, width being what n − 1 takes.
ffi::Error permutation(ffi::ThreadPool pool, Key key, ffi::Result<ffi::Buffer<ffi::S32>> out, int64_t threads) {
  const RandomKernel* k = WALKIES_CHOSEN(random_numbers);
  if (!k) return wrong("no instruction set; `walkies doctor` says more");
  if (key.element_count() != 2) return wrong("a key has two words");
  const size_t count = out->element_count();
  if (count == 0) return ffi::Error::Success();
  int width = 0;
  while ((count - 1) >> width) width++;
  std::vector<uint32_t> words(count), before(count);
  fill(pool, threads, *k, kBits, key.typed_data(), int64_t(count), words.data());
  for (size_t i = 0; i < count; i++) words[i] = uint32_t(uint64_t(words[i]) >> width << width | i);
  for (int shift = width; shift < 32; shift += kDigit) {  // the lowest digit first; a pass keeps the order of equals
    const auto digit = [&](uint32_t word) { return (word >> shift) & ((1u << kDigit) - 1); };
    std::array<uint32_t, 1 << kDigit> to{};
    for (uint32_t word : words) to[digit(word)]++;
    std::exclusive_scan(to.begin(), to.end(), to.begin(), 0u);
    words.swap(before);
    for (uint32_t word : before) words[to[digit(word)]++] = word;
  }
  const uint32_t index = uint32_t((uint64_t(1) << width) - 1);
  std::transform(words.begin(), words.end(), out->typed_data(), [&](uint32_t word) { return int32_t(word & index); });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace walkies

WALKIES_EXPORT XLA_FFI_Error* walkies_random(XLA_FFI_CallFrame* frame) {
  namespace ffi = walkies::ffi;
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<walkies::Key>()
                             .Ret<ffi::Buffer<ffi::F32>>()
                             .Attr<int64_t>("kind")
                             .Attr<int64_t>("threads")
                             .To(walkies::numbers)
                             .release();
  return handler->Call(frame);
}

WALKIES_EXPORT XLA_FFI_Error* walkies_permutation(XLA_FFI_CallFrame* frame) {
  namespace ffi = walkies::ffi;
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<walkies::Key>()
                             .Ret<ffi::Buffer<ffi::S32>>()
                             .Attr<int64_t>("threads")
                             .To(walkies::permutation)
                             .release();
  return handler->Call(frame);
}
