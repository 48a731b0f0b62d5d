// Rows of several arrays at once, as an XLA custom call: how a minibatch is taken from a batch. It only copies, so it is
// the same for every instruction set.
#include <cstring>
#include <string>
#include <vector>

#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace walkies {
namespace {

namespace ffi = xla::ffi;

constexpr int64_t kRowsPerPiece = 64;

struct Copy {
  const char* from;
  char* to;
  size_t bytes;  // of a row
};

ffi::Error wrong(const std::string& what) { return ffi::Error::InvalidArgument("native rows: " + what); }

// Arguments: which rows, then arrays of equally many rows. Results: those rows of every array.
ffi::Error take(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets) {
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
  in_parallel(pool, (count + kRowsPerPiece - 1) / kRowsPerPiece, 0, [&](int64_t piece) {
    const int64_t stop = std::min(count, (piece + 1) * kRowsPerPiece);
    for (const Copy& copy : copies) {
      for (int64_t i = piece * kRowsPerPiece; i < stop; i++) {
        std::memcpy(copy.to + size_t(i) * copy.bytes, copy.from + size_t(row[i]) * copy.bytes, copy.bytes);
      }
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace walkies

extern "C" __attribute__((visibility("default"))) XLA_FFI_Error* walkies_rows(XLA_FFI_CallFrame* frame) {
  static auto* handler = walkies::ffi::Ffi::Bind()
                             .Ctx<walkies::ffi::ThreadPool>()
                             .RemainingArgs()
                             .RemainingRets()
                             .To(walkies::take)
                             .release();
  return handler->Call(frame);
}
