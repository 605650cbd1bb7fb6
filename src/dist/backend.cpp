#include <c10/util/Exception.h>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "dist/group.h"
#ifdef GEAR_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

namespace gear::dist {
namespace {

Backend make_gloo(const Store& store, int64_t rank, int64_t size, const ConnectOptions& options) {
  auto gloo = c10d::ProcessGroupGloo::Options::create(options.timeout);
  gloo->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, static_cast<int>(rank),
                                                     static_cast<int>(size), gloo);
}

#ifdef GEAR_WITH_CUDA
Backend make_nccl(const Store& store, int64_t rank, int64_t size, const ConnectOptions& options) {
  c10::cuda::set_device(options.device.index());
  auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = options.timeout;
  auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, static_cast<int>(rank),
                                                           static_cast<int>(size), nccl);
  group->eagerConnectSingleDevice(options.device);  // a bad device shows now, not in the first step
  return group;
}
#endif

}  // namespace

Backend make_backend(const Store& store, int64_t rank, int64_t size,
                     const ConnectOptions& options) {
  if (options.device.is_cpu()) return make_gloo(store, rank, size, options);
#ifdef GEAR_WITH_CUDA
  return make_nccl(store, rank, size, options);
#else
  TORCH_CHECK(false, "make_backend: this build has no NCCL for ", options.device.str());
#endif
}

}  // namespace gear::dist
