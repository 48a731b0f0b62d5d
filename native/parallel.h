// Work shared between the caller and XLA's pool of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "xla/ffi/api/ffi.h"

namespace walkies {

// Calls work(0) … work(pieces − 1), each once, on at most `threads` threads (0: all of the pool), the caller's among
// them. The caller waits only for pieces that somebody has begun, so it cannot wait for a task stuck in the queue; a
// helper that comes late finds none left, and touches nothing but the shared record, which it keeps alive.
inline void in_parallel(xla::ffi::ThreadPool& pool, int64_t pieces, int64_t threads,
                        std::function<void(int64_t)> work) {
  struct Shared {
    std::function<void(int64_t)> work;
    int64_t pieces;
    std::atomic<int64_t> next{0}, done{0};

    void help() {
      for (int64_t i = next.fetch_add(1); i < pieces; i = next.fetch_add(1)) {
        work(i);
        done.fetch_add(1, std::memory_order_release);
      }
    }
  };
  auto shared = std::make_shared<Shared>();
  shared->work = std::move(work);
  shared->pieces = pieces;
  int64_t workers = std::min<int64_t>(pool.num_threads(), pieces);
  if (threads > 0) workers = std::min(workers, threads);
  for (int64_t i = 1; i < workers; i++) pool.Schedule([shared] { shared->help(); });
  shared->help();
  while (shared->done.load(std::memory_order_acquire) < pieces) std::this_thread::yield();
}

}  // namespace walkies
