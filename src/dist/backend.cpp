#include <c10/util/Exception.h>
#include <gloo/transport/device.h>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "dist/group.h"
#include "gear/core/error.h"
#ifdef GEAR_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>

#include <cstdlib>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

namespace gear::dist {
namespace {

/// The network interface of Gloo. GLOO_SOCKET_IFNAME names one, as for other programs that use it.
std::shared_ptr<gloo::transport::Device> gloo_device(const Placement& placement) {
  using Gloo = c10d::ProcessGroupGloo;
  if (const auto name = environment_variable("GLOO_SOCKET_IFNAME")) {
    return Gloo::createDeviceForInterface(*name);
  }
  if (placement.is_on_one_machine()) return Gloo::createDeviceForHostname("127.0.0.1");
  auto device = Gloo::createDefaultDevice();
  if (device->str().find("addr=[127.") != std::string::npos) {
    fail("rank ", placement.rank,
         ": the name of this machine stands for 127.x.x.x here (see /etc/hosts), where other "
         "machines cannot reach it; set GLOO_SOCKET_IFNAME to the network interface between them");
  }
  return device;
}

Backend make_gloo(const World::Group& group) {
  auto options = c10d::ProcessGroupGloo::Options::create(group.options.timeout);
  options->devices.push_back(gloo_device(group.placement));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(group.store, static_cast<int>(group.rank),
                                                     static_cast<int>(group.size), options);
}

#ifdef GEAR_WITH_CUDA
Backend make_nccl(const World::Group& group) {
  const c10::Device device = group.options.device;
  if (device.index() >= c10::cuda::device_count()) {
    fail("rank ", group.placement.rank, ": needs GPU ", static_cast<int>(device.index()),
         " of this machine, which has ", static_cast<int>(c10::cuda::device_count()),
         "; start no more ranks than there are GPUs on each machine");
  }
  // c10d would abort the process with a stack trace. The monitor sees the GPU wait in vain, finds
  // out for whom, and ends the process with a sentence.
  ::setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", /*overwrite=*/0);
  c10::cuda::set_device(device.index());
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = group.options.timeout;
  auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(
      group.store, static_cast<int>(group.rank), static_cast<int>(group.size), options);
  backend->eagerConnectSingleDevice(device);  // a bad device shows now, not in the first step
  return backend;
}
#endif

}  // namespace

Backend make_backend(const World::Group& group) {
  if (group.options.device.is_cpu()) return make_gloo(group);
#ifdef GEAR_WITH_CUDA
  return make_nccl(group);
#else
  TORCH_CHECK(false, "make_backend: this build has no NCCL for ", group.options.device.str());
#endif
}

std::function<bool()> mark_gpu() {
#ifdef GEAR_WITH_CUDA
  const auto event = std::make_shared<at::cuda::CUDAEvent>();
  event->record();
  return [event] {
    try {
      return event->query();
    } catch (const c10::Error&) {  // the thread that uses the GPU will meet it too, and say so
      return true;
    }
  };
#else
  return {};
#endif
}

}  // namespace gear::dist
