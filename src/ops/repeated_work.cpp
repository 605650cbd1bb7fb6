#include "gear/ops/repeated_work.h"

#ifdef GEAR_WITH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace gear::ops {

#ifdef GEAR_WITH_CUDA

struct RepeatedWork::Graph {
  explicit Graph(const std::function<void()>& work) {
    // The default stream cannot be recorded. Nothing runs meanwhile, so nothing has to wait.
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
    // Other threads may go on using the device.
    recorded.capture_begin(/*pool=*/{0, 0}, cudaStreamCaptureModeThreadLocal);
    work();
    recorded.capture_end();
  }

  at::cuda::CUDAGraph recorded;
};

void RepeatedWork::run(c10::Device device, const std::function<void()>& work) {
  // The first run is not recorded: libraries set themselves up in it.
  if (!device.is_cuda() || runs_++ == 0) return work();
  const c10::cuda::CUDAGuard guard(device);
  if (!graph_) graph_ = std::make_unique<Graph>(work);
  graph_->recorded.replay();
}

#else

struct RepeatedWork::Graph {};

void RepeatedWork::run(c10::Device /*device*/, const std::function<void()>& work) {
  ++runs_;
  work();
}

#endif

RepeatedWork::RepeatedWork() = default;
RepeatedWork::~RepeatedWork() = default;

void RepeatedWork::forget() {
  runs_ = 0;
  graph_.reset();
}

}  // namespace gear::ops
