#include "gear/core/device.h"

#include <ATen/Context.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#ifdef GEAR_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

#include "core/cgroup.h"
#include "gear/core/error.h"

namespace gear {
namespace {

/// What the system can give to new processes; infinity when it does not tell.
double available_system_memory() {
  std::ifstream stream("/proc/meminfo");
  std::string word;
  double kilobytes = 0.0;
  while (stream >> word) {
    if (word == "MemAvailable:" && stream >> kilobytes) return kilobytes * 1024.0;
  }
  return std::numeric_limits<double>::infinity();
}

/// Whether the CPU has a feature, by its name in /proc/cpuinfo.
bool cpu_has(const std::string& feature) {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string word; stream >> word;) {
    if (word == feature) return true;
  }
  return false;
}

c10::DeviceIndex current_gpu() {
#ifdef GEAR_WITH_CUDA
  int number = 0;
  if (cudaGetDevice(&number) == cudaSuccess) return static_cast<c10::DeviceIndex>(number);
#endif
  return 0;
}

}  // namespace

void use_gpu([[maybe_unused]] int64_t number) {
#ifdef GEAR_WITH_CUDA
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) return;
  if (number >= count) {
    fail("this machine has ", count, " GPUs, too few for rank ", number,
         " of it (counted from 0); start at most ", count, " ranks on a machine");
  }
  cudaSetDevice(static_cast<int>(number));
#endif
}

c10::Device resolve_device(DeviceChoice choice) {
  if (choice == DeviceChoice::kCpu) return c10::kCPU;
  if (at::globalContext().hasCUDA()) return c10::Device(c10::kCUDA, current_gpu());
  if (choice == DeviceChoice::kAuto) return c10::kCPU;
#ifdef GEAR_WITH_CUDA
  fail("device: cuda was asked for, but CUDA finds no GPU here; gear doctor tells what is there, ",
       "device: cpu computes without one");
#else
  fail("device: cuda was asked for, but this gear was built without CUDA; build the preset cuda, ",
       "or set device: cpu");
#endif
}

bool has_bf16_units(c10::Device device) {
#ifdef GEAR_WITH_CUDA
  if (device.is_cuda()) {
    int major = 0;
    const auto status =
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device.index());
    return status == cudaSuccess && major >= 8;
  }
#endif
  return device.is_cpu() && (cpu_has("amx_bf16") || cpu_has("avx512_bf16"));
}

double available_memory(c10::Device device) {
#ifdef GEAR_WITH_CUDA
  if (device.is_cuda()) {
    size_t free = 0, total = 0;
    cudaSetDevice(device.index());
    if (cudaMemGetInfo(&free, &total) == cudaSuccess) return static_cast<double>(free);
    return std::numeric_limits<double>::infinity();
  }
#endif
  if (!device.is_cpu()) return std::numeric_limits<double>::infinity();
  return std::min(available_system_memory(), cgroup_available_memory("/sys/fs/cgroup"));
}

std::string device_name(c10::Device device) {
#ifdef GEAR_WITH_CUDA
  cudaDeviceProp properties{};
  if (device.is_cuda() && cudaGetDeviceProperties(&properties, device.index()) == cudaSuccess) {
    return "GPU " + std::to_string(device.index()) + " (" + properties.name + ")";
  }
#endif
  return device.is_cpu() ? "CPU" : device.str();
}

}  // namespace gear
