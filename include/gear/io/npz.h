#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "gear/core/tensor.h"
#include "gear/io/atomic.h"

// N pictures, H W pixels

namespace gear::io {

/// Writes pictures, as they come, into the npz file that ADM's evaluator reads: an uncompressed zip
/// (zip64) with one member arr_0.npy, uint8 (N, H, W, 3) in C order. Whole or not at all.
/// Formats: numpy's NPY 1.0; PKWARE APPNOTE 6.3 sections 4.3 to 4.5.
class SamplesNpzWriter {
 public:
  SamplesNpzWriter(const std::filesystem::path& path, int64_t height, int64_t width);

  /// pictures [n, 3, H, W] uint8; at most one picture is copied at a time.
  void append(const Tensor& pictures);
  int64_t num_pictures() const { return num_pictures_; }

  /// Completes the headers and gives the file its name. Without it no file appears.
  void finish();

 private:
  AtomicFile file_;
  int64_t height_;
  int64_t width_;
  int64_t num_pictures_ = 0;
  uint32_t crc_ = 0;  // of the pictures alone; the header is not known before the end
};

/// All at once: pictures [N, 3, H, W] uint8.
void write_samples_npz(const std::filesystem::path& path, const Tensor& pictures);

/// Reads one .npy file, or the arrays of an .npz by name (without ".npy"). Both compressed and
/// uncompressed archives, C and Fortran order; numbers and booleans in little-endian order.
/// Uncompressed arrays are views of the mapped file.
Tensor read_npy(const std::filesystem::path& path);
std::map<std::string, Tensor> read_npz(const std::filesystem::path& path);

}  // namespace gear::io
