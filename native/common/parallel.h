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

// Looks again at once, and after some time lets others run.
struct Patience {
  int looks = 0;
  void wait() {
    if (++looks < 2000) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else {
      std::this_thread::yield();
    }
  }
};

// Threads that stay together through many short stretches of work, which to wake them each time would take as long as.
//
// As above the caller waits only for pieces that somebody has begun, and helpers that come late or never do no harm. The
// caller takes pieces from the front, every other helper from the back: what is done with the same piece of one stretch
// after another mostly stays in one core's cache.
class Team {
 public:
  // Of whoever calls `follow`.
  Team() : shared_(std::make_shared<Shared>()) {}
  // Of that many of a pool's threads, the caller's among them.
  Team(xla::ffi::ThreadPool& pool, int64_t threads) : Team() { recruit(pool, 1, threads); }
  ~Team() { close(); }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Threads of a pool help, the numbers `first` to `stop` − 1.
  void recruit(xla::ffi::ThreadPool& pool, int64_t first, int64_t stop) {
    for (int64_t i = first; i < stop; i++) {
      pool.Schedule([shared = shared_, i] { shared->follow(i % 2 == 1); });
    }
  }

  // The calling thread helps until the team is closed; i: its number among the helpers, from 1.
  void follow(int64_t i) { shared_->follow(i % 2 == 1); }

  // Sends the helpers home.
  void close() { shared_->closed.store(true, std::memory_order_release); }

  // Calls work(0) … work(pieces − 1), each once; at most 65,535 of them.
  void run(int64_t pieces, const std::function<void(int64_t)>& work) {
    Shared& s = *shared_;
    s.work = &work;
    s.done.store(0, std::memory_order_relaxed);
    s.open.store((s.open.load(std::memory_order_relaxed) >> 32) + 1 << 32 | uint64_t(pieces),
                 std::memory_order_release);
    while (s.take(false)) {
    }
    Patience patience;
    while (s.done.load(std::memory_order_acquire) < pieces) patience.wait();
  }

 private:
  struct Shared {
    // Number of the stretch in the upper half, then the first piece that is not taken, then the one behind the last. A
    // piece can only be taken from the stretch in which it was seen, and that does not end before the piece is done.
    std::atomic<uint64_t> open{0};
    const std::function<void(int64_t)>* work = nullptr;
    std::atomic<int64_t> done{0};
    std::atomic<bool> closed{false};

    bool take(bool from_back) {
      uint64_t now = open.load(std::memory_order_acquire);
      for (;;) {
        const uint64_t front = now >> 16 & 0xffff, back = now & 0xffff;
        if (front == back) return false;
        const uint64_t then = from_back ? now - 1 : now + (1 << 16);
        if (!open.compare_exchange_weak(now, then, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
        (*work)(int64_t(from_back ? back - 1 : front));
        done.fetch_add(1, std::memory_order_release);
        return true;
      }
    }

    void follow(bool from_back) {
      Patience patience;
      while (!closed.load(std::memory_order_acquire)) {
        if (take(from_back)) {
          patience = {};
        } else {
          patience.wait();
        }
      }
    }
  };

  std::shared_ptr<Shared> shared_;
};

}  // namespace walkies
