#pragma once

#include <optional>
#include <string>
#include <vector>

namespace gear {

/// Versions of NVIDIA's libraries in this build: "13.0", "9.19.0".
struct CudaBuild {
  std::string cuda, cudnn, nccl;
};

/// Nothing in a build without CUDA.
std::optional<CudaBuild> cuda_build();

struct Gpu {
  std::string name;
  double memory = 0.0;             ///< bytes
  std::string compute_capability;  ///< "9.0"
};

/// The GPUs that CUDA can use; none in a build without CUDA.
std::vector<Gpu> cuda_devices();

}  // namespace gear
