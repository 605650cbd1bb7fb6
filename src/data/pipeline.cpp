#include "pipeline.h"

#include <system_error>
#include <utility>

#include "gear/core/error.h"

namespace gear::data {

Pipeline::Pipeline(int64_t threads, int64_t prefetch, Work work)
    : work_(std::move(work)), prefetch_(static_cast<size_t>(prefetch)) {
  threads_.reserve(static_cast<size_t>(threads));
  try {
    for (int64_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  } catch (const std::system_error& error) {
    const size_t started = threads_.size();
    stop();  // the destructor does not run for an object that was never complete
    fail("data.workers: cannot start ", threads, " threads, the system refused after ", started,
         " (", error.what(), "); lower it or raise the system's limits (ulimit -u, -v)");
  }
}

Pipeline::~Pipeline() { stop(); }

void Pipeline::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_available_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Batch Pipeline::next() {
  std::unique_lock lock(mutex_);
  item_finished_.wait(
      lock, [&] { return !slots_.empty() && (slots_.front()->finished == slots_.front()->items); });
  if (slots_.front()->error) std::rethrow_exception(slots_.front()->error);
  Batch batch = std::move(slots_.front()->batch);
  slots_.pop_front();
  ++next_number_;
  work_available_.notify_all();
  return batch;
}

void Pipeline::seek(int64_t number) {
  const std::lock_guard lock(mutex_);
  slots_.clear();
  next_number_ = number;
  work_available_.notify_all();
}

std::shared_ptr<Pipeline::Slot> Pipeline::open_slot(int64_t number) {
  auto slot = std::make_shared<Slot>();
  slot->number = number;
  try {
    slot->batch = work_.open(number);
    slot->items = slot->batch.labels.size(0);
  } catch (...) {  // passed on to the thread that calls next()
    slot->error = std::current_exception();
  }
  return slot;
}

std::shared_ptr<Pipeline::Slot> Pipeline::find_work() {
  for (const auto& slot : slots_) {
    if (slot->started < slot->items) return slot;
  }
  if (slots_.size() == prefetch_) return nullptr;
  slots_.push_back(open_slot(next_number_ + static_cast<int64_t>(slots_.size())));
  if (slots_.back()->items == 0) item_finished_.notify_all();
  return slots_.back();
}

void Pipeline::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    std::shared_ptr<Slot> slot;
    work_available_.wait(lock, [&] { return stopping_ || (slot = find_work()) != nullptr; });
    if (stopping_) return;
    if (slot->started == slot->items) continue;  // an empty batch
    const int64_t item = slot->started++;
    lock.unlock();
    std::exception_ptr error;
    try {
      work_.fill(slot->number, item, slot->batch);
    } catch (...) {  // passed on to the thread that calls next()
      error = std::current_exception();
    }
    lock.lock();
    if (error && !slot->error) slot->error = error;
    if (++slot->finished == slot->items) item_finished_.notify_all();
  }
}

}  // namespace gear::data
