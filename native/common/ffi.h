// XLA's foreign-function interface, and how a function of the library is made visible.
#pragma once

#include "xla/ffi/api/ffi.h"

#define WALKIES_EXPORT extern "C" __attribute__((visibility("default")))
