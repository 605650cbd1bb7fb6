#include "gear/io/event_file.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdio>
#include <system_error>

#include "gear/core/error.h"

namespace gear::io {
namespace {

// Field numbers of the messages.
enum EventField { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7 };
enum SummaryField { kValue = 1 };
enum ValueField { kTag = 1, kSimpleValue = 2, kImage = 4 };
enum ImageField { kHeight = 1, kWidth = 2, kColorspace = 3, kEncodedImage = 4 };
enum SessionLogField { kStatus = 1 };
constexpr uint64_t kSessionStart = 1;
constexpr uint64_t kRgb = 3;

/// A protocol buffer, field by field (https://protobuf.dev/programming-guides/encoding).
class Message {
 public:
  Message& number(int field, uint64_t value) {
    tag(field, 0);
    varint(value);
    return *this;
  }
  Message& float64(int field, double value) {
    return fixed(field, 1, std::bit_cast<uint64_t>(value), 8);
  }
  Message& float32(int field, float value) {
    return fixed(field, 5, std::bit_cast<uint32_t>(value), 4);
  }
  Message& bytes(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    text_ += value;
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void tag(int field, int wire_type) { varint(static_cast<uint64_t>(field << 3 | wire_type)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  Message& fixed(int field, int wire_type, uint64_t bits, int count) {
    tag(field, wire_type);
    for (int i = 0; i < count; ++i) text_ += static_cast<char>(bits >> (8 * i));
    return *this;
  }

  std::string text_;
};

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
    table[i] = crc;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

double wall_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

/// "events.out.tfevents.<seconds>.<host>.<process>.<number>": TensorBoard knows the beginning and
/// reads the files of a folder in the order of their names.
std::filesystem::path new_path(const std::filesystem::path& folder) {
  static std::atomic<int> counter{0};
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(folder.string(), ": cannot create the folder: ", error.message());
  char host[256] = "host";
  ::gethostname(host, sizeof host - 1);
  char name[400];
  std::snprintf(name, sizeof name, "events.out.tfevents.%010lld.%s.%d.%d",
                static_cast<long long>(wall_seconds()), host, static_cast<int>(::getpid()),
                counter++);
  return folder / name;
}

std::string summary(const Message& value) {
  return Message().bytes(kSummary, Message().bytes(kValue, value.text()).text()).text();
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffffU;
  for (const char byte : bytes) {
    crc = kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff] ^ (crc >> 8);
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t start_step)
    : path_(new_path(folder)), writer_(path_) {
  write_event(Message().bytes(kFileVersion, "brain.Event:2").text(), 0);
  const auto start = Message().number(kStatus, kSessionStart).text();
  write_event(Message().bytes(kSessionLog, start).text(), start_step + 1);
}

void EventFile::scalar(const std::string& tag, int64_t step, double value) {
  write_event(summary(Message().bytes(kTag, tag).float32(kSimpleValue, static_cast<float>(value))),
              step);
}

void EventFile::image(const std::string& tag, int64_t step, std::string_view png, int64_t height,
                      int64_t width) {
  const auto picture = Message()
                           .number(kHeight, static_cast<uint64_t>(height))
                           .number(kWidth, static_cast<uint64_t>(width))
                           .number(kColorspace, kRgb)
                           .bytes(kEncodedImage, png);
  write_event(summary(Message().bytes(kTag, tag).bytes(kImage, picture.text())), step);
}

void EventFile::write_event(std::string_view fields, int64_t step) {
  const auto head =
      Message().float64(kWallTime, wall_seconds()).number(kStep, static_cast<uint64_t>(step));
  write_record(head.text() + std::string(fields));
}

void EventFile::write_record(std::string_view data) {
  const std::string length = little_endian(data.size(), 8);
  std::string record = length + little_endian(masked_crc32c(length), 4);
  record += data;
  record += little_endian(masked_crc32c(data), 4);
  writer_.write(record);  // in one call: a killed process leaves at most its last record unfinished
}

}  // namespace gear::io
