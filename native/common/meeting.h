// Devices that run one program meet in a custom call and do its work together.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "memory.h"
#include "parallel.h"

namespace walkies {

// XLA runs a program on several devices by a thread each. In one call all of them find the same meeting, into which each
// brings its part; the thread of device 0 leads, the others are its team. Each waits for all others: who calls has checked
// before that nothing is wrong, by what is the same on every device.
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

  // Returns once every thread has called it as often.
  void wait(int64_t times) {
    ready_.fetch_add(1, std::memory_order_acq_rel);
    Patience patience;
    while (ready_.load(std::memory_order_acquire) < count_ * times) patience.wait();
  }

  const Memory numbers;
  Team team;
  const void* results = nullptr;  // of device 0, for the others

 private:
  const int64_t count_;
  std::atomic<int64_t> ready_{0};
};

}  // namespace walkies
