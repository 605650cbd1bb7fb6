#include "gear/io/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "io/memory_limit.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A file with this header and this many zero bytes of data.
std::string file_with(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, '\0');
}

std::string refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.safetensors", bytes);
  return error_of([&] { SafetensorsFile file(folder / "x.safetensors"); });
}

TEST(Safetensors, EveryDtypeReadsBackAsWritten) {
  const TemporaryFolder folder;
  NamedTensors written;
  for (const auto dtype : {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong,
                           at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    const auto values = at::arange(5, at::kFloat).sub(2).to(dtype);
    written.emplace_back(c10::toString(dtype), values);
  }
  written.emplace_back("scalar", at::full({}, 3.5));
  written.emplace_back("empty", at::zeros({0, 4}));
  write_safetensors(folder / "all.safetensors", written, {{"step", "12"}, {"quote", "\"é\""}});

  const SafetensorsFile file(folder / "all.safetensors");
  ASSERT_EQ(file.names().size(), written.size());
  for (size_t i = 0; i < written.size(); ++i) {
    const auto& [name, expected] = written[i];
    EXPECT_EQ(file.names()[i], name);
    const auto found = file.tensor(name);
    EXPECT_EQ(found.scalar_type(), expected.scalar_type()) << name;
    EXPECT_EQ(found.sizes(), expected.sizes()) << name;
    EXPECT_TRUE(at::equal(found, expected)) << name;
  }
  EXPECT_EQ(file.metadata(), (Metadata{{"step", "12"}, {"quote", "\"é\""}}));
}

TEST(Safetensors, DtypesThatFewToolsKnowKeepTheirBytes) {
  const std::pair<at::ScalarType, const char*> dtypes[] = {
      {at::kFloat8_e4m3fn, "F8_E4M3"},  {at::kFloat8_e4m3fnuz, "F8_E4M3FNUZ"},
      {at::kFloat8_e5m2, "F8_E5M2"},    {at::kFloat8_e5m2fnuz, "F8_E5M2FNUZ"},
      {at::kFloat8_e8m0fnu, "F8_E8M0"}, {at::kComplexFloat, "C64"}};
  const TemporaryFolder folder;
  const auto bytes = at::arange(16, at::kByte);
  for (const auto& [dtype, name] : dtypes) {
    EXPECT_EQ(safetensors_dtype_name(dtype), name);
    write_safetensors(folder / "x.safetensors", {{"w", bytes.view(dtype)}});
    const auto found = SafetensorsFile(folder / "x.safetensors").tensor("w");
    EXPECT_EQ(found.scalar_type(), dtype) << name;
    EXPECT_TRUE(at::equal(found.view(at::kByte), bytes)) << name;
  }
}

TEST(Safetensors, AConjugatedViewIsWrittenAsItsValues) {
  const TemporaryFolder folder;
  const auto values = at::rand({4}, at::kComplexFloat);
  write_safetensors(folder / "x.safetensors", {{"w", values.conj()}});
  const auto found = SafetensorsFile(folder / "x.safetensors").tensor("w");
  EXPECT_TRUE(at::equal(found, values.conj().resolve_conj()));
}

TEST(Safetensors, DataStartsAtAMultipleOfEightAndEveryTensorIsAligned) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", {{"odd", at::ones({3}, at::kByte)},
                                               {"half", at::ones({3}, at::kHalf)},
                                               {"wide", at::ones({2}, at::kDouble)}});
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_THAT(file.names(), ElementsAre("odd", "half", "wide"));
  EXPECT_EQ(file.info("wide").begin % 8, 0u);
  EXPECT_EQ(file.info("half").begin % 2, 0u);
}

TEST(Safetensors, ViewsAreWrittenAsTheirValues) {
  const TemporaryFolder folder;
  const auto matrix = at::rand({4, 6});
  const auto expanded = at::rand({1, 3}).expand({2, 3});
  write_safetensors(folder / "x.safetensors", {{"transposed", matrix.t()}, {"expanded", expanded}});
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_TRUE(at::equal(file.tensor("transposed"), matrix.t()));
  EXPECT_TRUE(at::equal(file.tensor("expanded"), expanded));
}

TEST(Safetensors, TensorOutlivesTheFileObjectAndWritingToItLeavesTheFileAlone) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", {{"w", at::ones({4})}});
  const std::string before = read_bytes(folder / "x.safetensors");
  at::Tensor tensor;
  {
    const SafetensorsFile file(folder / "x.safetensors");
    tensor = file.tensor("w");
  }
  tensor.fill_(7);
  EXPECT_EQ(tensor.sum().item<float>(), 28.0F);
  EXPECT_EQ(read_bytes(folder / "x.safetensors"), before);
}

TEST(Safetensors, MisalignedDataOfOtherWritersIsReadAllTheSame) {
  const TemporaryFolder folder;
  const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  std::string bytes = file_with(header, 5);
  const float value = 2.5F;
  std::memcpy(bytes.data() + bytes.size() - 4, &value, 4);
  write_bytes(folder / "x.safetensors", bytes);
  EXPECT_EQ(SafetensorsFile(folder / "x.safetensors").tensor("b").item<float>(), 2.5F);
}

TEST(Safetensors, WriterRefusesADuplicateNameAndLeavesTheOldFile) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.safetensors", "old");
  EXPECT_THAT(
      error_of([&] {
        write_safetensors(folder / "x.safetensors", {{"w", at::ones({1})}, {"w", at::ones({1})}});
      }),
      HasSubstr("two tensors are named w"));
  EXPECT_EQ(read_bytes(folder / "x.safetensors"), "old");
}

TEST(Safetensors, MissingTensorNamesFileAndTensor) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", {});
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_THAT(error_of([&] { file.tensor("w"); }), HasSubstr("x.safetensors: holds no tensor 'w'"));
}

struct Attack {
  const char* name;
  std::string bytes;
  const char* sentence;
};

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

std::string two(const std::string& first_offsets, const std::string& second_offsets) {
  return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + first_offsets +
         R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + second_offsets + "}}";
}

/// A shape of `dims` dimensions of size one.
std::string ones(int dims) {
  std::string shape = "[1";
  for (int i = 1; i < dims; ++i) shape += ",1";
  return shape + "]";
}

class HostileSafetensors : public ::testing::TestWithParam<Attack> {};

TEST_P(HostileSafetensors, IsRefusedWithASentenceThatSaysWhatToDo) {
  EXPECT_THAT(refusal(GetParam().bytes), HasSubstr(GetParam().sentence));
  EXPECT_THAT(refusal(GetParam().bytes), HasSubstr("; "));
}

std::string with_length(uint64_t length) {
  std::string bytes = file_with("{}", 0);
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

const Attack kAttacks[] = {
    {"Empty", "", "0 bytes are too few"},
    {"SevenBytes", "1234567", "7 bytes are too few"},
    {"HeaderBeyondTheFile", with_length(3), "should have 3 bytes, but only 2 follow"},
    {"HeaderLengthMax", with_length(UINT64_MAX), "but only 2 follow"},
    {"BrokenJson", file_with("{\"w\":", 0), "not valid JSON"},
    {"JsonArray", file_with("[1]", 0), "expected an object"},
    {"DeepJson", file_with("{\"w\":" + std::string(100000, '['), 0), "nested deeper"},
    {"DuplicateName",
     file_with(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
               R"("w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
               1),
     "names 'w' twice"},
    {"DuplicateField",
     file_with(R"({"w":{"dtype":"U8","dtype":"F32","shape":[1],)"
               R"("data_offsets":[0,1]}})",
               1),
     "names 'dtype' twice"},
    {"EntryIsAString", file_with(R"({"w":"F32"})", 0), "w: expected an object"},
    {"NoShape", file_with(R"({"w":{"dtype":"U8","data_offsets":[0,1]}})", 1), "shape is missing"},
    {"NoDtype", file_with(R"({"w":{"shape":[1],"data_offsets":[0,1]}})", 1), "dtype is missing"},
    {"UnknownDtype", file_with(one("F7", "[1]", "[0,4]"), 4), "w: dtype 'F7' is unknown"},
    {"NegativeSize", file_with(one("F32", "[-1]", "[0,4]"), 4), "not a size"},
    {"FractionalSize", file_with(one("F32", "[1.0]", "[0,4]"), 4), "not a size"},
    {"SizeAboveInt64", file_with(one("U8", "[18446744073709551615]", "[0,1]"), 1), "not a size"},
    {"ShapeOverflow", file_with(one("F32", "[4294967296,4294967296,4]", "[0,0]"), 0), "overflows"},
    {"ShapeOverflowToFit", file_with(one("F32", "[4611686018427387905]", "[0,4]"), 4), "overflows"},
    {"ShapeOverflowBeforeAZero", file_with(one("F32", "[4611686018427387904,4,0]", "[0,0]"), 0),
     "overflows"},
    {"ShapeOverflowBehindAZero", file_with(one("F32", "[0,4611686018427387904,4]", "[0,0]"), 0),
     "overflows"},
    {"TooManyDimensions", file_with(one("U8", ones(65), "[0,1]"), 1),
     "65 dimensions, more than 64"},
    {"ShapeMismatch", file_with(one("F32", "[3]", "[0,8]"), 8), "needs 12 bytes"},
    {"OneOffset", file_with(one("F32", "[1]", "[0]"), 4), "must be two numbers"},
    {"NegativeOffset", file_with(one("F32", "[1]", "[-4,0]"), 4), "must be two numbers"},
    {"ReversedOffsets", file_with(one("F32", "[1]", "[4,0]"), 4), "run backwards"},
    {"OffsetsOutOfRange", file_with(one("F32", "[2]", "[0,8]"), 4), "leave the file"},
    {"HugeOffsets", file_with(one("U8", "[1]", "[18446744073709551614,18446744073709551615]"), 1),
     "leave the file"},
    {"Overlap", file_with(two("[0,8]", "[4,12]"), 12), "b overlaps a"},
    {"Reuse", file_with(two("[0,8]", "[0,8]"), 8), "b overlaps a"},
    {"ZeroSizeInsideAnother",
     file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
               R"("b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})",
               8),
     "b overlaps a"},
    {"HoleAtTheStart", file_with(one("F32", "[1]", "[4,8]"), 8), "4 bytes before w"},
    {"HoleBetween", file_with(two("[0,8]", "[12,20]"), 20), "4 bytes before b"},
    {"TrailingBytes", file_with(one("F32", "[1]", "[0,4]"), 9), "5 bytes after w"},
    {"MetadataNotStrings", file_with(R"({"__metadata__":{"a":1}})", 0), "'a' must be a string"},
};

INSTANTIATE_TEST_SUITE_P(Safetensors, HostileSafetensors, ::testing::ValuesIn(kAttacks),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Safetensors, HeaderAboveTheLimitOfTheFormatIsRefusedUnparsed) {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  write_bytes(path, with_length(100'000'001));
  std::filesystem::resize_file(path, 100'000'009);  // sparse: takes no space
  EXPECT_THAT(error_of([&] { SafetensorsFile file(path); }), HasSubstr("the format allows"));
}

TEST(Safetensors, BoolBytesOtherThanZeroAndOneAreRefused) {
  const TemporaryFolder folder;
  std::string bytes = file_with(one("BOOL", "[2]", "[0,2]"), 2);
  bytes.back() = 2;
  write_bytes(folder / "x.safetensors", bytes);
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_THAT(error_of([&] { file.tensor("w"); }),
              HasSubstr("w: booleans must be bytes of 0 and 1, found 2"));
}

TEST(Safetensors, AFileCutAnywhereIsRefused) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", {{"a", at::zeros({3})}, {"b", at::zeros({2, 2}, at::kHalf)}});
  const std::string good = read_bytes(folder / "x");
  for (size_t size = 0; size < good.size(); ++size) {
    write_bytes(folder / "x", good.substr(0, size));
    EXPECT_NE(error_of([&] { SafetensorsFile file(folder / "x"); }), "") << size << " bytes";
  }
}

TEST(Safetensors, AFolderAndAMissingFileAreNamed) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { SafetensorsFile file(folder.path()); }), HasSubstr("found a folder"));
  EXPECT_THAT(error_of([&] { SafetensorsFile file(folder / "no"); }),
              HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace gear::io
