// Work shared between the caller and XLA's pool of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "ffi.h"

namespace walkies {

// A number of this thread, the next one free when it first asks.
inline int64_t thread_number() {
  static std::atomic<int64_t> next{0};
  thread_local const int64_t number = next.fetch_add(1);
  return number;
}

// Calls work(0) … work(pieces − 1), each once, on at most `threads` threads (0: all of the pool), the caller's among
// them. The caller waits only for pieces that somebody has begun, so it cannot wait for a task stuck in the queue; a
// helper that comes late finds none left, and touches nothing but the shared record, which it keeps alive.
//
// Each thread begins with a stretch of its own, the same one in the next call, and then takes over what the others have
// not come to: what call after call does with the same rows stays in one core's cache.
inline void in_parallel(xla::ffi::ThreadPool& pool, int64_t pieces, int64_t threads,
                        std::function<void(int64_t)> work) {
  struct Shared {
    std::function<void(int64_t)> work;
    int64_t pieces;
    std::unique_ptr<std::atomic_flag[]> begun;
    std::atomic<int64_t> done{0};

    void help(int64_t first) {
      for (int64_t i = 0; i < pieces && done.load(std::memory_order_relaxed) < pieces; i++) {
        const int64_t piece = (first + i) % pieces;
        if (begun[piece].test_and_set(std::memory_order_relaxed)) continue;
        work(piece);
        done.fetch_add(1, std::memory_order_release);
      }
    }
  };
  if (pieces <= 0) return;
  auto shared = std::make_shared<Shared>();
  shared->work = std::move(work);
  shared->pieces = pieces;
  shared->begun = std::make_unique<std::atomic_flag[]>(size_t(pieces));
  int64_t workers = std::min<int64_t>(pool.num_threads(), pieces);
  if (threads > 0) workers = std::min(workers, threads);
  workers = std::max<int64_t>(workers, 1);
  const auto stretch = [&](int64_t worker) { return (thread_number() + worker) % workers * pieces / workers; };
  for (int64_t i = 1; i < workers; i++) {
    pool.Schedule([shared, first = stretch(i)] { shared->help(first); });
  }
  shared->help(stretch(0));
  while (shared->done.load(std::memory_order_acquire) < pieces) std::this_thread::yield();
}

}  // namespace walkies
