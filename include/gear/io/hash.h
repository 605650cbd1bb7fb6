#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace gear::io {

/// SHA-256 as 64 lower-case hexadecimal digits.
std::string sha256_of_bytes(std::string_view bytes);

/// Reads the file in pieces. Throws Error when it cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace gear::io
