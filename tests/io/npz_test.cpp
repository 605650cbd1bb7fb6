#include "gear/io/npz.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>

#include "io/temporary_folder.h"
#include "io/zip_builder.h"

namespace gear::io {
namespace {

using ::testing::HasSubstr;

/// A .npy file as numpy's format description spells it.
std::string npy(const std::string& descr, bool fortran, const std::string& shape,
                const std::string& data) {
  const std::string text = "{'descr': '" + descr +
                           "', 'fortran_order': " + (fortran ? "True" : "False") +
                           ", 'shape': " + shape + ", }\n";
  std::string bytes("\x93NUMPY\x01\x00", 8);
  append_number(bytes, text.size(), 2);
  return bytes + text + data;
}

std::string six_floats() {
  const float values[6] = {0, 1, 2, 3, 4, 5};
  return {reinterpret_cast<const char*>(values), sizeof values};
}

Tensor read(const std::string& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.npy", bytes);
  return read_npy(folder / "a.npy");
}

Tensor pictures(int64_t count) { return at::randint(256, {count, 3, 4, 5}, at::kByte); }

TEST(SamplesNpz, PicturesComeBackInNumpysOrder) {
  const TemporaryFolder folder;
  const auto all = pictures(5);
  SamplesNpzWriter writer(folder / "s.npz", 4, 5);
  writer.append(all.slice(0, 0, 2));
  writer.append(all.slice(0, 2));
  EXPECT_EQ(writer.num_pictures(), 5);
  writer.finish();
  const auto arrays = read_npz(folder / "s.npz");
  ASSERT_EQ(arrays.size(), 1u);
  EXPECT_TRUE(at::equal(arrays.at("arr_0"), all.permute({0, 2, 3, 1})));
}

TEST(SamplesNpz, WithoutFinishNoFileAppears) {
  const TemporaryFolder folder;
  { SamplesNpzWriter(folder / "s.npz", 4, 5).append(pictures(1)); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(SamplesNpz, NumpyReadsIt) {
  if (std::system("python3 -c 'import numpy' >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "no python3 with numpy";
  }
  const TemporaryFolder folder;
  const auto all = pictures(3);
  write_samples_npz(folder / "s.npz", all);
  const int64_t first = all[0][0][0][0].item<int64_t>(), sum = all.sum().item<int64_t>();
  const std::string script =
      "import numpy; a = numpy.load('" + (folder / "s.npz").string() +
      "')['arr_0']; assert a.shape == (3, 4, 5, 3) and a.dtype == 'uint8'; assert a[0,0,0,0] == " +
      std::to_string(first) + " and a.sum() == " + std::to_string(sum);
  EXPECT_EQ(std::system(("python3 -c \"" + script + "\"").c_str()), 0);
}

TEST(ReadNpy, KnowsBothOrders) {
  const auto values = at::arange(6, at::kFloat);
  EXPECT_TRUE(at::equal(read(npy("<f4", false, "(2, 3)", six_floats())), values.view({2, 3})));
  EXPECT_TRUE(at::equal(read(npy("<f4", true, "(2, 3)", six_floats())), values.view({3, 2}).t()));
  EXPECT_TRUE(at::equal(read(npy("<f4", false, "(6,)", six_floats())), values));
  EXPECT_EQ(read(npy("|u1", false, "()", "\x07")).item<int64_t>(), 7);
}

TEST(ReadNpy, RefusesWhatItCannotReadWithASentence) {
  const std::string data = six_floats();
  const auto refusal = [](const std::string& bytes) { return error_of([&] { read(bytes); }); };
  EXPECT_THAT(refusal(npy(">f4", false, "(6,)", data)), HasSubstr("arrays of dtype >f4"));
  EXPECT_THAT(refusal(npy("|O", false, "(6,)", data)), HasSubstr("arrays of dtype |O"));
  EXPECT_THAT(refusal(npy("<f4", false, "(7,)", data)), HasSubstr("needs 28 bytes, found 24"));
  EXPECT_THAT(refusal(npy("<f4", false, "(-1,)", data)), HasSubstr("bad shape"));
  std::string ones = "(";
  for (int i = 0; i < 65; ++i) ones += "1, ";
  EXPECT_THAT(refusal(npy("|u1", true, ones + ")", "x")), HasSubstr("65 dimensions"));
  EXPECT_THAT(refusal(npy("<f4", false, "(4611686018427387904, 4)", data)), HasSubstr("overflows"));
  EXPECT_THAT(refusal(npy("<f4", false, "(4611686018427387904, 4, 0)", "")),
              HasSubstr("overflows"));
  EXPECT_THAT(refusal(npy("|b1", false, "(2,)", "\x01\x02")),
              HasSubstr("booleans must be bytes of 0 and 1, found 2"));
  EXPECT_THAT(refusal("\x93NUMPY\x09..........."), HasSubstr("unknown npy version 9"));
  EXPECT_THAT(refusal("hello"), HasSubstr("is not a numpy array"));
}

std::string deflated(const std::string& data) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(data.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST(ReadNpz, UnpacksCompressedArrays) {
  const TemporaryFolder folder;
  const std::string array = npy("<f4", false, "(6,)", six_floats());
  write_bytes(folder / "a.npz", zip_of({{.name = "mu.npy",
                                         .data = deflated(array),
                                         .method = 8,
                                         .size = array.size(),
                                         .content = array}}));
  EXPECT_TRUE(at::equal(read_npz(folder / "a.npz").at("mu"), at::arange(6, at::kFloat)));
}

TEST(ReadNpz, ASizeThatNoCompressionReachesIsNotAllocated) {
  const TemporaryFolder folder;
  const std::string array = npy("<f4", false, "(6,)", six_floats());
  write_bytes(folder / "a.npz", zip_of({{.name = "mu.npy",
                                         .data = deflated(array),
                                         .method = 8,
                                         .size = 4'000'000'000,
                                         .content = array}}));
  EXPECT_THAT(error_of([&] { read_npz(folder / "a.npz"); }),
              HasSubstr("cannot hold the 4000000000"));
}

TEST(ReadNpz, ArraysThatShareBytesAreRefused) {
  const TemporaryFolder folder;
  const std::string array = npy("<f4", false, "(6,)", six_floats());
  std::string bytes = stored_zip({{"a.npy", array}, {"b.npy", array}});
  const size_t entry = bytes.rfind("b.npy") - 46;  // in the directory
  bytes.replace(entry + 42, 4, 4, '\0');           // where the first record begins
  write_bytes(folder / "a.npz", bytes);
  EXPECT_THAT(error_of([&] { read_npz(folder / "a.npz"); }),
              HasSubstr("records a.npy and b.npy share bytes"));
}

TEST(ReadNpz, DamagedArraysAreNoticed) {
  const TemporaryFolder folder;
  const std::string array = npy("<f4", false, "(6,)", six_floats());
  std::string packed = deflated(array);
  packed[packed.size() / 2] ^= 0x55;
  write_bytes(folder / "a.npz", zip_of({{.name = "mu.npy",
                                         .data = packed,
                                         .method = 8,
                                         .size = array.size(),
                                         .content = array}}));
  EXPECT_THAT(error_of([&] { read_npz(folder / "a.npz"); }), HasSubstr("mu.npy is damaged"));
}

}  // namespace
}  // namespace gear::io
