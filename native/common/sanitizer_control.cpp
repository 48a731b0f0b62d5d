// What the sanitizers must report, for the control of `make sanitize`; only the library that it builds has these.
#define WALKIES_NS sanitizer_control
#include "../engine/block.h"
#include "ffi.h"

// Writes number `at` of a piece of eight: beyond them another piece begins, as in a block's own memory.
WALKIES_EXPORT double walkies_write_at(int at) {
  using namespace walkies::WALKIES_NS;
  alignas(64) char stretch[4096];
  Memory memory{stretch};
  double* piece = memory.take<double>(8);
  memory.take<double>(8);
  piece[at] = at;
  const double written = piece[at];
  memory.release();
  return written;
}

WALKIES_EXPORT int walkies_one_more(int number) { return number + 1; }
