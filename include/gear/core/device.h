#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace gear {

/// What a user asks for; the names in files and on the command line are auto, cpu, cuda.
enum class DeviceChoice { kAuto, kCpu, kCuda };

/// Makes GPU `number` the one of this process. Throws Error when there is no such GPU. Without CUDA
/// it does nothing.
void use_gpu(int64_t number);

/// Where to compute. kAuto: the GPU of this process (the first, unless use_gpu() chose another),
/// else the CPU. Throws Error when kCuda is asked for where there is none.
c10::Device resolve_device(DeviceChoice choice);

/// Whether the device multiplies bfloat16 in hardware (AMX or AVX512_BF16; compute capability 8).
/// Where it does not, bfloat16 is emulated, up to a hundred times slower than float32.
bool has_bf16_units(c10::Device device);

/// Bytes that new tensors can take there: free memory of the GPU, or what the system and its cgroup
/// leave to this process; infinity when unknown.
double available_memory(c10::Device device);

/// "CPU", or "GPU 0 (NVIDIA H100 80GB HBM3)".
std::string device_name(c10::Device device);

}  // namespace gear
