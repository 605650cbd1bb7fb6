#pragma once

#include <ATen/record_function.h>

#include <atomic>
#include <memory>

namespace gear::cli {

/// Counts the floating-point operations of LibTorch's matrix products, convolutions and attention
/// while it lives, backward passes included: all that weighs in a training step.
class OperationCounter {
 public:
  OperationCounter();
  ~OperationCounter();
  OperationCounter(const OperationCounter&) = delete;
  OperationCounter& operator=(const OperationCounter&) = delete;

  double count() const { return count_; }

 private:
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& call);
  static void end(const at::RecordFunction& call, at::ObserverContext* context);

  static std::atomic<double> count_;  // a callback knows of no object
  at::CallbackHandle handle_;
};

}  // namespace gear::cli
