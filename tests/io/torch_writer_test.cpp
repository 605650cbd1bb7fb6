#include "gear/io/torch_writer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <cstring>
#include <limits>

#include "gear/io/torch_archive.h"
#include "gear/io/weights.h"
#include "io/peak_memory.h"
#include "io/temporary_folder.h"
#include "io/zip_reader.h"

namespace gear::io {
namespace {

using ::testing::HasSubstr;
using Kind = PickleValue::Kind;

TorchValue::Dict dict_of(const std::vector<std::pair<std::string, TorchValue>>& entries) {
  TorchValue::Dict dict;
  for (const auto& [key, value] : entries) dict.set(key, value);
  return dict;
}

/// The same bits, whatever the type.
bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const auto x = a.contiguous(), y = b.contiguous();
  return x.sizes() == y.sizes() && x.scalar_type() == y.scalar_type() &&
         std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

struct Written {
  explicit Written(const TorchValue& value) {
    write_torch(folder / "x.pt", value);
    archive = std::make_unique<TorchArchive>(folder / "x.pt");
  }
  const PickleValue& at(const std::string& key) const { return *archive->root().find(key); }
  at::Tensor tensor(const std::string& key) const { return at(key).tensor->values(); }

  TemporaryFolder folder;
  std::unique_ptr<TorchArchive> archive;
};

TEST(TorchWriter, PlainValuesComeBack) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  TorchValue::List numbers;
  for (const int64_t number : {int64_t{0}, int64_t{255}, int64_t{256}, int64_t{65536}, int64_t{-1},
                               int64_t{-2147483649}, kMost, kLeast}) {
    numbers.items.emplace_back(number);
  }
  const Written file(dict_of({{"none", {}},
                              {"yes", true},
                              {"no", false},
                              {"numbers", numbers},
                              {"lr", 1e-4},
                              {"name", "gr\xc3\xbc\xc3\x9f"},
                              {"betas", TorchValue::Tuple{{0.9, 0.999}}},
                              {"empty", TorchValue::List{}},
                              {"inner", dict_of({{"x", 1}})}}));
  EXPECT_TRUE(file.at("none").is(Kind::kNone));
  EXPECT_EQ(file.at("yes").integer, 1);
  EXPECT_TRUE(file.at("no").is(Kind::kBool));
  const auto& items = file.at("numbers").items;
  ASSERT_EQ(items.size(), numbers.items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i]->integer, std::get<int64_t>(numbers.items[i].data())) << i;
  }
  EXPECT_EQ(file.at("lr").real, 1e-4);
  EXPECT_EQ(file.at("name").text, "gr\xc3\xbc\xc3\x9f");
  EXPECT_TRUE(file.at("betas").is(Kind::kTuple));
  EXPECT_EQ(file.at("betas").items[1]->real, 0.999);
  EXPECT_TRUE(file.at("empty").is(Kind::kList));
  EXPECT_EQ(file.at("inner").find("x")->integer, 1);
}

TEST(TorchWriter, EveryDtypeComesBackBitForBit) {
  const std::vector<at::ScalarType> dtypes = {
      at::kDouble, at::kFloat,        at::kHalf,   at::kBFloat16, at::kLong,
      at::kInt,    at::kShort,        at::kChar,   at::kByte,     at::kBool,
      at::kUInt16, at::kComplexFloat, at::kUInt32, at::kUInt64,   at::kFloat8_e4m3fn};
  std::vector<std::pair<std::string, TorchValue>> entries;
  std::vector<at::Tensor> tensors;
  for (const at::ScalarType dtype : dtypes) {
    tensors.push_back(at::arange(6, at::kFloat).reshape({2, 3}).to(dtype));
    entries.emplace_back(c10::toString(dtype), tensors.back());
  }
  const Written file(dict_of(entries));
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_TRUE(same_bits(file.tensor(entries[i].first), tensors[i])) << entries[i].first;
  }
}

TEST(TorchWriter, NansAndInfinitiesKeepTheirBits) {
  const auto bits = at::arange(4, at::kInt) + 0x7f800000;  // infinity, then three NaNs
  const Written file(dict_of({{"x", bits.view(at::kFloat)}}));
  EXPECT_TRUE(at::equal(file.tensor("x").view(at::kInt), bits));
}

TEST(TorchWriter, ScalarsAndEmptyTensorsComeBack) {
  const Written file(dict_of(
      {{"scalar", at::zeros({}) + 3}, {"empty", at::zeros({0, 4})}, {"last", at::rand(3)}}));
  EXPECT_EQ(file.tensor("scalar").dim(), 0);
  EXPECT_EQ(file.tensor("scalar").item<float>(), 3.0F);
  EXPECT_EQ(file.tensor("empty").sizes(), at::IntArrayRef({0, 4}));
}

TEST(TorchWriter, ASharedStorageStandsOnceAndIsSharedAgain) {
  const auto base = at::rand({100, 10});
  const Written file(dict_of({{"base", base}, {"columns", base.t()}, {"row", base[3]}}));
  EXPECT_TRUE(at::equal(file.tensor("columns"), base.t()));
  EXPECT_TRUE(at::equal(file.tensor("row"), base[3]));
  file.tensor("base")[3].fill_(7);
  EXPECT_EQ(file.tensor("row")[0].item<float>(), 7.0F);
  EXPECT_LT(std::filesystem::file_size(file.folder / "x.pt"), 2 * base.nbytes());
}

TEST(TorchWriter, OneStorageSeenAsTwoTypesIsReadBackAsBoth) {
  const auto floats = at::rand({5});
  const Written file(dict_of({{"floats", floats}, {"ints", floats.view(at::kInt)}}));
  EXPECT_TRUE(at::equal(file.tensor("ints"), file.tensor("floats").view(at::kInt)));
}

TEST(TorchWriter, ConjugatedViewsAreWrittenByTheirValues) {
  const auto z = at::complex(at::rand({3}), at::rand({3}));
  const Written file(dict_of({{"z", z.conj()}}));
  EXPECT_TRUE(at::equal(file.tensor("z"), z.conj().resolve_conj()));
}

TEST(TorchWriter, StoragesStandAtMultiplesOf64) {
  const Written file(dict_of({{"a", at::rand(3)}, {"bb", at::rand(5)}, {"c", at::rand(7)}}));
  const ZipReader zip(MappedFile::open(file.folder / "x.pt"));
  EXPECT_EQ(zip.records().size(), 8u);
  for (const auto& [name, record] : zip.records()) EXPECT_EQ(record.begin % 64, 0u) << name;
  EXPECT_EQ(zip.bytes(zip.record("x/version")), "3\n");
  EXPECT_EQ(zip.bytes(zip.record("x/byteorder")), "little");
}

TEST(TorchWriter, PyTorchsOwnReaderGetsTheSameValues) {
  const TemporaryFolder folder;
  const auto weight = at::rand({3, 4});
  write_torch(folder / "x.pt", dict_of({{"weight", weight.t()},
                                        {"step", at::zeros({}) + 5},
                                        {"lr", 0.5},
                                        {"steps", int64_t{1} << 40},
                                        {"fused", {}},
                                        {"name", "AdamW"}}));
  const std::string bytes = read_bytes(folder / "x.pt");
  const auto value = torch::jit::pickle_load({bytes.begin(), bytes.end()}).toGenericDict();
  EXPECT_TRUE(at::equal(value.at("weight").toTensor(), weight.t()));
  EXPECT_EQ(value.at("step").toTensor().item<float>(), 5.0F);
  EXPECT_EQ(value.at("lr").toDouble(), 0.5);
  EXPECT_EQ(value.at("steps").toInt(), int64_t{1} << 40);
  EXPECT_TRUE(value.at("fused").isNone());
  EXPECT_EQ(value.at("name").toStringRef(), "AdamW");
}

TEST(TorchWriter, SectionsAreFoundByTheWeightLoader) {
  const TemporaryFolder folder;
  const auto live = at::rand({2}), average = at::rand({2});
  write_torch(folder / "x.pt",
              dict_of({{"vq", dict_of({{"w", live}})}, {"vq_ema", dict_of({{"w", average}})}}));
  EXPECT_TRUE(at::equal(load_tensors(folder / "x.pt", tokenizer_sections(true)).at("w"), average));
  EXPECT_TRUE(at::equal(load_tensors(folder / "x.pt", tokenizer_sections(false)).at("w"), live));
}

TEST(TorchWriter, WritesWithoutASecondCopyOfTheWhole) {
  const TemporaryFolder folder;
  TorchValue::Dict dict;
  std::vector<at::Tensor> tensors;
  for (int i = 0; i < 8; ++i) dict.set(std::to_string(i), at::rand({4, 1024, 1024}));  // 16 MiB
  const PeakMemory memory;
  write_torch(folder / "x.pt", dict);
  EXPECT_LT(memory.growth_mib(), 32.0);
}

TEST(TorchWriter, SparseTensorsAreRefusedByNameAndNoFileAppears) {
  const TemporaryFolder folder;
  const auto sparse = at::rand({2, 2}).to_sparse();
  const std::string error = error_of([&] {
    write_torch(folder / "x.pt", dict_of({{"vq", dict_of({{"mask", sparse}})}}));
  });
  EXPECT_THAT(error, HasSubstr("x.pt: vq: mask: a SparseCPUFloatType has no plain storage"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TorchWriter, AFolderThatCannotBeWrittenIsNamed) {
  EXPECT_THAT(error_of([] { write_torch("/proc/none/x.pt", TorchValue()); }), HasSubstr("/proc"));
}

}  // namespace
}  // namespace gear::io
