#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "gear/io/atomic.h"

namespace gear::io {

/// A TensorBoard event file in a folder. Every run, also a resumed one, opens a file of its own;
/// TensorBoard reads them all together, and drops what an earlier file says about steps after
/// `start_step`, because this run says it again.
///
/// Format: TFRecord framing (tensorflow/core/lib/io/record_writer.h) around Event messages
/// (tensorflow/core/util/event.proto, framework/summary.proto).
class EventFile {
 public:
  EventFile(const std::filesystem::path& folder, int64_t start_step);

  void scalar(const std::string& tag, int64_t step, double value);
  /// `png` holds an encoded picture of this size.
  void image(const std::string& tag, int64_t step, std::string_view png, int64_t height,
             int64_t width);
  void sync() { writer_.sync(); }  ///< until everything is on the disk

  const std::filesystem::path& path() const { return path_; }

 private:
  void write_event(std::string_view fields, int64_t step);
  void write_record(std::string_view data);

  std::filesystem::path path_;
  FileWriter writer_;
};

/// CRC-32C (Castagnoli, RFC 3720 B.4), rotated and offset as TFRecord stores it.
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace gear::io
