#pragma once

#include <filesystem>

#include "gear/core/tensor.h"

// N pictures, H W pixels

namespace gear::io {

/// Writes pictures as the npz file that ADM's evaluator reads: an uncompressed zip (zip64 beyond
/// 4 GiB) with one member arr_0.npy, uint8 (N, H, W, 3) in C order. Whole or not at all.
///   pictures [N, 3, H, W] uint8 on the CPU
/// Formats: numpy's NPY 1.0; PKWARE APPNOTE 6.3 sections 4.3 to 4.5.
void write_samples_npz(const std::filesystem::path& path, const Tensor& pictures);

}  // namespace gear::io
