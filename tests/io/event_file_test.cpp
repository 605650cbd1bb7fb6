#include "gear/io/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::HasSubstr;

/// The data of every record, framing and checksums verified.
std::vector<std::string> records_of(const std::string& bytes) {
  std::vector<std::string> records;
  size_t at = 0;
  while (at < bytes.size()) {
    uint64_t length = 0;
    uint32_t length_crc = 0, data_crc = 0;
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&length_crc, bytes.data() + at + 8, 4);
    EXPECT_EQ(length_crc, masked_crc32c(bytes.substr(at, 8)));
    records.push_back(bytes.substr(at + 12, length));
    std::memcpy(&data_crc, bytes.data() + at + 12 + length, 4);
    EXPECT_EQ(data_crc, masked_crc32c(records.back()));
    at += 16 + length;
  }
  EXPECT_EQ(at, bytes.size());
  return records;
}

/// Fields of a protocol buffer by number, the raw bytes of each.
std::map<int, std::string> fields_of(const std::string& message) {
  std::map<int, std::string> fields;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(at++));
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
  };
  while (at < message.size()) {
    const uint64_t tag = varint();
    const size_t begin = at;
    size_t length = 0;
    if ((tag & 7) == 0) {
      fields[static_cast<int>(tag >> 3)] = std::to_string(varint());
      continue;
    }
    length = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : varint();
    fields[static_cast<int>(tag >> 3)] = message.substr((tag & 7) == 2 ? at : begin, length);
    at += length;
  }
  return fields;
}

TEST(EventFile, ChecksumMatchesThePublishedVectors) {  // RFC 3720 B.4: 32 zero bytes, 32 times 0xff
  const auto masked = [](uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; };
  EXPECT_EQ(masked_crc32c(std::string(32, '\0')), masked(0x8a9136aaU));
  EXPECT_EQ(masked_crc32c(std::string(32, '\xff')), masked(0x62a8ab43U));
  EXPECT_EQ(masked_crc32c("123456789"), masked(0xe3069283U));
}

TEST(EventFile, HoldsVersionStartScalarsAndImages) {
  const TemporaryFolder folder;
  EventFile file(folder.path(), 100);
  file.scalar("loss/ce", 300, 2.5);
  file.image("samples", 300, "png bytes", 4, 5);

  EXPECT_THAT(file.path().filename().string(), ::testing::StartsWith("events.out.tfevents."));
  const auto records = records_of(read_bytes(file.path()));
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(fields_of(records[0])[3], "brain.Event:2");
  EXPECT_EQ(fields_of(records[1])[2], "101");  // TensorBoard forgets older events from here on
  EXPECT_EQ(fields_of(fields_of(records[1])[7])[1], "1");

  auto scalar = fields_of(records[2]);
  EXPECT_EQ(scalar[2], "300");
  auto value = fields_of(fields_of(scalar[5])[1]);
  EXPECT_EQ(value[1], "loss/ce");
  float number = 0;
  std::memcpy(&number, value[2].data(), 4);
  EXPECT_EQ(number, 2.5F);

  auto image = fields_of(fields_of(fields_of(fields_of(records[3])[5])[1])[4]);
  EXPECT_EQ(image[1], "4");
  EXPECT_EQ(image[2], "5");
  EXPECT_EQ(image[4], "png bytes");
}

TEST(EventFile, AResumedRunOpensAFileOfItsOwn) {
  const TemporaryFolder folder;
  EventFile first(folder.path(), 0);
  first.scalar("loss", 1, 1.0);
  const std::string before = read_bytes(first.path());
  EventFile second(folder.path(), 1);
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(read_bytes(first.path()), before);
}

}  // namespace
}  // namespace gear::io
