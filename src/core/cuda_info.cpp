#include "gear/core/cuda_info.h"

#ifdef GEAR_WITH_CUDA
#include <ATen/Context.h>
#include <cuda_runtime_api.h>
#include <nccl.h>
#endif

#include <cstdint>

namespace gear {

#ifdef GEAR_WITH_CUDA
namespace {

/// 13000 -> "13.0": the coding of CUDA's versions.
std::string cuda_version(int64_t version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// 91900 -> "9.19.0", 22809 -> "2.28.9": the coding of cuDNN's and NCCL's versions.
std::string library_version(int64_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

}  // namespace

std::optional<CudaBuild> cuda_build() {
  int nccl = 0;
  ncclGetVersion(&nccl);
  return CudaBuild{.cuda = cuda_version(at::globalContext().versionCUDART()),
                   .cudnn = library_version(at::globalContext().versionCuDNN()),
                   .nccl = library_version(nccl)};
}

std::vector<Gpu> cuda_devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
  std::vector<Gpu> gpus;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp device{};
    if (cudaGetDeviceProperties(&device, i) != cudaSuccess) continue;
    gpus.push_back(
        {.name = device.name,
         .memory = static_cast<double>(device.totalGlobalMem),
         .compute_capability = std::to_string(device.major) + "." + std::to_string(device.minor)});
  }
  return gpus;
}
#else
std::optional<CudaBuild> cuda_build() { return std::nullopt; }

std::vector<Gpu> cuda_devices() { return {}; }
#endif

}  // namespace gear
