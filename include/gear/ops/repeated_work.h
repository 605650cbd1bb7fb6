#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace gear::ops {

/// Work that is done again and again on the same tensors. On CUDA it is recorded at its second run
/// as a graph, and from then on launched as a whole: hundreds of small kernels then cost the host
/// one call. Elsewhere it just runs. The work must not wait for the device, copy to the host, or
/// depend on numbers that change on the host.
class RepeatedWork {
 public:
  RepeatedWork();
  ~RepeatedWork();
  RepeatedWork(const RepeatedWork&) = delete;
  RepeatedWork& operator=(const RepeatedWork&) = delete;

  void run(c10::Device device, const std::function<void()>& work);
  /// The next run is the first of another work.
  void forget();

 private:
  struct Graph;
  int64_t runs_ = 0;
  std::unique_ptr<Graph> graph_;
};

}  // namespace gear::ops
