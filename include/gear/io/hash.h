#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace gear::io {

/// SHA-256 of bytes that come one after the other.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(const void* data, size_t bytes);
  void add(std::string_view bytes) { add(bytes.data(), bytes.size()); }
  std::string hex();  ///< 64 lower-case hexadecimal digits; ends the object's use

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string sha256_of_bytes(std::string_view bytes);

/// Reads the file in pieces. Throws Error when it cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

/// Of `bytes` bytes that begin at `offset`. Throws Error when the file ends before.
std::string sha256_of_range(const std::filesystem::path& path, uint64_t offset, uint64_t bytes);

}  // namespace gear::io
