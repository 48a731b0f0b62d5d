// Rows of several arrays at once, as XLA custom calls: how a minibatch is taken from a batch, and how robots whose
// episodes ended start anew. They only copy, so they are the same for every instruction set.
#include <cstring>
#include <string>
#include <vector>

#include "ffi.h"
#include "parallel.h"
#include "rows.h"

namespace walkies {
namespace {

namespace ffi = xla::ffi;

constexpr int64_t kRowsPerPiece = 64;

ffi::Error wrong(const std::string& what) { return ffi::Error::InvalidArgument("native rows: " + what); }

// Arguments: which rows, then arrays of equally many rows. Results: those rows of every array.
ffi::Error take(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t threads) {
  auto index = args.get<ffi::Buffer<ffi::S32>>(0);
  if (index.has_error()) return index.error();
  const int64_t count = int64_t(index->element_count());
  const int32_t* row = index->typed_data();
  int64_t rows = -1;
  std::vector<Copy> copies;
  for (size_t i = 0; i < rets.size(); i++) {
    auto from = args.get<ffi::AnyBuffer>(i + 1);
    auto to = rets.get<ffi::AnyBuffer>(i);
    if (from.has_error()) return from.error();
    if (to.has_error()) return to.error();
    if (from->dimensions().size() == 0 || (*to)->dimensions().size() != from->dimensions().size() ||
        (*to)->dimensions()[0] != count || (i > 0 && from->dimensions()[0] != rows)) {
      return wrong("array " + std::to_string(i) + " or its result has the wrong shape");
    }
    rows = from->dimensions()[0];
    const size_t bytes = rows > 0 ? from->size_bytes() / size_t(rows) : 0;
    if ((*to)->size_bytes() != bytes * size_t(count)) return wrong("a result has the wrong size");
    copies.push_back({static_cast<const char*>(from->untyped_data()), static_cast<char*>((*to)->untyped_data()), bytes});
  }
  for (int64_t i = 0; i < count; i++) {
    if (row[i] < 0 || row[i] >= rows) {
      return wrong("row " + std::to_string(row[i]) + " of " + std::to_string(rows) + " was asked for");
    }
  }
  in_parallel(pool, (count + kRowsPerPiece - 1) / kRowsPerPiece, threads, [&](int64_t piece) {
    const int64_t stop = std::min(count, (piece + 1) * kRowsPerPiece);
    for (const Copy& copy : copies) copy_rows(copy, row, piece * kRowsPerPiece, stop);
  });
  return ffi::Error::Success();
}

// Arguments: for each row whether to replace it, then arrays of such rows to take them from, then the arrays to replace
// them in. Results: the latter. XLA gives results the arrays' own memory where it can; then rows that stay are not
// touched.
ffi::Error replace(ffi::RemainingArgs args, ffi::RemainingRets rets) {
  auto mask = args.get<ffi::Buffer<ffi::PRED>>(0);
  if (mask.has_error()) return mask.error();
  const int64_t rows = int64_t(mask->element_count());
  const bool* chosen = mask->typed_data();
  std::vector<Copy> news, olds;
  for (size_t i = 0; i < rets.size(); i++) {
    auto by = args.get<ffi::AnyBuffer>(1 + i), in = args.get<ffi::AnyBuffer>(1 + rets.size() + i);
    auto to = rets.get<ffi::AnyBuffer>(i);
    if (by.has_error()) return by.error();
    if (in.has_error()) return in.error();
    if (to.has_error()) return to.error();
    if ((*to)->dimensions().size() == 0 || (*to)->dimensions()[0] != rows ||
        by->size_bytes() != (*to)->size_bytes() || in->size_bytes() != (*to)->size_bytes()) {
      return wrong("array " + std::to_string(i) + " or its replacement has the wrong shape");
    }
    char* out = static_cast<char*>((*to)->untyped_data());
    const char* old = static_cast<const char*>(in->untyped_data());
    const size_t bytes = rows > 0 ? (*to)->size_bytes() / size_t(rows) : 0;
    news.push_back({static_cast<const char*>(by->untyped_data()), out, bytes});
    if (old != out) olds.push_back({old, out, bytes});
  }
  for (const Copy& copy : olds) std::memcpy(copy.to, copy.from, copy.bytes * size_t(rows));
  for (int64_t row = 0; row < rows; row++) {
    if (!chosen[row]) continue;
    for (const Copy& copy : news) {
      std::memcpy(copy.to + size_t(row) * copy.bytes, copy.from + size_t(row) * copy.bytes, copy.bytes);
    }
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace walkies

WALKIES_EXPORT XLA_FFI_Error* walkies_rows(XLA_FFI_CallFrame* frame) {
  static auto* handler = walkies::ffi::Ffi::Bind()
                             .Ctx<walkies::ffi::ThreadPool>()
                             .RemainingArgs()
                             .RemainingRets()
                             .Attr<int64_t>("threads")
                             .To(walkies::take)
                             .release();
  return handler->Call(frame);
}

WALKIES_EXPORT XLA_FFI_Error* walkies_replace_rows(XLA_FFI_CallFrame* frame) {
  static auto* handler =
      walkies::ffi::Ffi::Bind().RemainingArgs().RemainingRets().To(walkies::replace).release();
  return handler->Call(frame);
}
