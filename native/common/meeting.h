// Devices that run one program meet in a custom call and do its work together.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "memory.h"
#include "parallel.h"

namespace walkies {

// XLA runs a program on several devices by a thread each. In one call all of them find the same meeting, into which each
// brings its part; the first leads, the others are its team.
class Meeting {
 public:
  // Of `count` threads in a run of a program: the first that comes calls it, and gives it memory for some numbers.
  static std::shared_ptr<Meeting> of(int64_t run, int64_t count, size_t numbers) {
    static std::mutex lock;
    static std::map<int64_t, std::pair<std::shared_ptr<Meeting>, int64_t>> open;
    const std::lock_guard guard(lock);
    auto& [meeting, came] = open[run];
    if (!meeting) meeting = std::make_shared<Meeting>(count, numbers);
    const auto found = meeting;
    if (++came == count) open.erase(run);  // the run's next call is another meeting
    return found;
  }

  Meeting(int64_t count, size_t numbers) : numbers(memory(numbers)), count_(count) {}

  // Returns once every thread has called it as often; false if one does not come in a minute.
  bool wait(int64_t time) {
    ready_.fetch_add(1, std::memory_order_acq_rel);
    const auto begun = std::chrono::steady_clock::now();
    Patience patience;
    while (ready_.load(std::memory_order_acquire) < count_ * time) {
      if (patience.wait() && std::chrono::steady_clock::now() - begun > std::chrono::minutes(1)) return false;
    }
    return true;
  }

  const Memory numbers;
  Team team;
  const void* results = nullptr;  // of the first, for the others

 private:
  const int64_t count_;
  std::atomic<int64_t> ready_{0};
};

}  // namespace walkies
