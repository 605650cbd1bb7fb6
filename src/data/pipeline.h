#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "gear/data/batch.h"

namespace gear::data {

/// Threads that fill numbered batches ahead of their use and hand them out in order. What a batch
/// holds follows from its number alone, so neither the number of threads nor a seek changes it.
class Pipeline {
 public:
  struct Work {
    /// Allocates batch `number`; never called by two threads at once. No rows: nothing to fill.
    std::function<Batch(int64_t number)> open;
    /// Fills row `item` of it; called by any thread, for several rows at once.
    std::function<void(int64_t number, int64_t item, Batch& batch)> fill;
  };

  /// Keeps at most `prefetch` batches ready or in work. Throws Error when the system does not start
  /// as many threads.
  Pipeline(int64_t threads, int64_t prefetch, Work work);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Waits for the next batch. An exception of its work leaves here, again at every later call.
  Batch next();

  /// Makes `number` the next batch; what was prepared is dropped.
  void seek(int64_t number);

 private:
  struct Slot {
    int64_t number = 0;
    Batch batch{};
    int64_t items = 0;
    int64_t started = 0;
    int64_t finished = 0;
    std::exception_ptr error{};
  };

  void run();
  void stop();                        // ends and joins the threads
  std::shared_ptr<Slot> find_work();  // under the lock; nullptr when there is none
  std::shared_ptr<Slot> open_slot(int64_t number);

  Work work_;
  size_t prefetch_;
  std::mutex mutex_;
  std::condition_variable work_available_;
  std::condition_variable item_finished_;
  std::deque<std::shared_ptr<Slot>> slots_;  // in order; a dropped slot lives while it is filled
  int64_t next_number_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gear::data
