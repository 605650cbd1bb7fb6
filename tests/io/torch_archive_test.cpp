#include "gear/io/torch_archive.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <caffe2/serialize/inline_container.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <set>

#include "gear/core/random.h"
#include "io/pickle_builder.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::HasSubstr;
using namespace pickled;

std::string refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.pt", bytes);
  return error_of([&] { TorchArchive archive(folder / "x.pt"); });
}

/// A file of torch.save, written for one test.
struct Written {
  explicit Written(const std::string& bytes) {
    write_bytes(folder / "x.pt", bytes);
    archive = std::make_unique<TorchArchive>(folder / "x.pt");
  }
  at::Tensor tensor(const std::string& name) const {
    return archive->root().find(name)->tensor->values();
  }

  TemporaryFolder folder;
  std::unique_ptr<TorchArchive> archive;
};

TEST(TorchArchive, ReadsWhatLibTorchItselfWrites) {
  c10::impl::GenericDict written(c10::StringType::get(), c10::TensorType::get());
  const auto weight = at::rand({3, 4});
  const auto half = at::arange(5, at::kHalf);
  written.insert("weight", weight);
  written.insert("half", half);
  const auto bytes = torch::jit::pickle_save(written);

  const Written file({bytes.begin(), bytes.end()});
  EXPECT_TRUE(at::equal(file.tensor("weight"), weight));
  EXPECT_TRUE(at::equal(file.tensor("half"), half));
}

class EitherFormat : public ::testing::TestWithParam<bool> {
 protected:
  static std::string bytes(const std::string& body) {
    return GetParam() ? torch_legacy(body) : torch_zip(body);
  }
};

TEST_P(EitherFormat, ViewsOfOneStorageShareIt) {
  const Written file(bytes(dict({{"all", tensor(storage("0", 10), {10}, {1})},
                                 {"columns", tensor(storage("0", 10), {2, 3}, {1, 3}, 1)}})));
  EXPECT_TRUE(at::equal(file.tensor("all"), at::arange(10, at::kFloat)));
  EXPECT_TRUE(at::equal(file.tensor("columns").flatten().to(at::kLong),
                        at::arange(1, 10, 3).repeat({2}).add(at::arange(2).repeat_interleave(3))));
  const auto all = file.tensor("all");
  all.mul_(2);
  EXPECT_EQ(file.tensor("columns")[0][0].item<float>(), 2.0F);
}

/// Archives whose storage "0" begins at every remainder of 8.
std::vector<std::string> at_every_alignment(const std::string& body) {
  std::vector<std::string> files;
  for (size_t padding = 0; padding < 8; ++padding) {
    files.push_back(torch_legacy(dict({{"x", body}, {std::string(padding, 'p'), "N"}})));
  }
  return files;
}

TEST(TorchArchive, StoragesAreReadWhereverTheyLie) {
  const std::string first = tensor(storage("0", 10), {2}, {1}, 1);
  const std::string columns = tensor(storage("0", 10), {3, 2}, {1, 4}, 2);
  const std::string last = tensor(storage("0", 10), {1}, {1}, 9);
  const std::string none = tensor(storage("0", 10), {0, 4}, {4, 1}, 10);
  for (const std::string& bytes : at_every_alignment("(" + first + columns + last + none + "t")) {
    const Written file(bytes);
    const auto tensors = collect_tensors(file.archive->root());
    std::vector<at::Tensor> kept;  // the later ones are then made beside the earlier ones
    for (const bool keep : {false, true}) {
      for (const auto& [name, tensor] : tensors) {
        kept.push_back(tensor->values());
        EXPECT_EQ(reinterpret_cast<uintptr_t>(kept.back().const_data_ptr()) % 4, 0U) << name;
        EXPECT_EQ(kept.back().sizes(), at::IntArrayRef(tensor->sizes)) << name;
        if (!keep) kept.clear();
      }
    }
    EXPECT_TRUE(at::equal(kept.at(0), at::arange(1, 3, at::kFloat)));
    EXPECT_TRUE(at::equal(
        kept.at(1), at::arange(2, 5, at::kFloat).unsqueeze(1) + at::arange(0, 5, 4, at::kFloat)));
    EXPECT_EQ(kept.at(2).item<float>(), 9.0F);
    EXPECT_EQ(kept.at(3).numel(), 0);
  }
}

TEST(TorchArchive, AStorageShownAgainAndAgainIsCopiedTwiceAtMost) {
  std::string body = "](";
  for (int32_t i = 0; i < 9; ++i) body += tensor(storage("0", 10), {2}, {1}, i);
  for (const std::string& bytes : at_every_alignment(body + "e")) {
    const Written file(bytes);
    std::vector<at::Tensor> kept;
    std::set<const void*> storages;
    for (const auto& [name, tensor] : collect_tensors(file.archive->root())) {
      kept.push_back(tensor->values());
      storages.insert(kept.back().storage().data());
      EXPECT_EQ(kept.back()[1].item<int64_t>(), static_cast<int64_t>(kept.size()));
    }
    EXPECT_LE(storages.size(), 2U);
  }
}

TEST_P(EitherFormat, UntypedStoragesAreAlignedForTheDtypeOfTheirTensors) {
  const std::string untyped = storage("0", 10, "UntypedStorage");
  const std::string wide = global("torch._utils", "_rebuild_tensor_v3") + "(" + untyped +
                           integer(0) + tuple({1}) + tuple({1}) + "\x89" +
                           global("collections", "OrderedDict") + ")R" + global("torch", "uint64") +
                           "tR";
  for (const std::string padding : {"", "a", "ab", "abcd"}) {  // moves what follows in the file
    const Written file(bytes(dict({{"w", wide}, {"x", text(padding)}})));
    const auto tensor = file.archive->root().find("w")->tensor->values();
    EXPECT_EQ(tensor.scalar_type(), at::kUInt64);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 8, 0U) << padding;
  }
}

TEST_P(EitherFormat, ObjectsOfUnknownClassesBecomeRecords) {
  const std::string object = global("argparse", "Namespace") + ")\x81" +
                             dict({{"lr", "G" + std::string("\x3f\xf0\0\0\0\0\0\0", 8)}}) + "b";
  const std::string callback = global("my.training", "Callback") + ")\x81";
  const Written file(bytes(dict({{"args", object}, {"callback", callback}})));
  const auto* args = file.archive->root().find("args");
  EXPECT_EQ(args->text, "argparse.Namespace");
  EXPECT_EQ(args->find("lr")->real, 1.0);
  EXPECT_EQ(file.archive->root().find("callback")->text, "my.training.Callback");
}

TEST_P(EitherFormat, OfTorchAndNumpyOnlyKnownClassesBecomeRecords) {
  const auto object = [](const std::string& module, const std::string& name) {
    return global(module, name) + ")\x81";
  };
  const Written file(bytes(dict({{"version", object("torch.torch_version", "TorchVersion")},
                                 {"dtype", object("numpy", "dtype")}})));
  EXPECT_EQ(file.archive->root().find("dtype")->text, "numpy.dtype");
  EXPECT_THAT(
      refusal(bytes(dict({{"x", object("torch.nn.modules.linear", "Linear")}}))),
      HasSubstr("x.pt: the pickle calls torch.nn.modules.linear.Linear, which is not on the "
                "list of harmless names; nothing was called"));
  EXPECT_THAT(refusal(bytes(dict({{"x", object("numpy", "memmap")}}))),
              HasSubstr("x.pt: the pickle calls numpy.memmap"));
}

TEST_P(EitherFormat, BooleansOtherThanZeroAndOneAreRefused) {
  const std::string body = dict({{"w", tensor(storage("0", 10, "BoolStorage"), {10}, {1})}});
  EXPECT_THAT(refusal(bytes(body)), HasSubstr("booleans must be bytes of 0 and 1, found 128"));
}

TEST_P(EitherFormat, CallsAreRefusedByNameInEverySpelling) {
  const std::string argument = "(" + text("true") + "t";
  const std::string system = global("os", "system");
  for (const std::string& call :
       {system + argument + "R", "(" + text("true") + "ios\nsystem\n",
        "(" + system + text("true") + "o", text("os") + text("system") + "\x93" + argument + "R",
        system + argument + "\x81", system + argument + "}\x92"}) {
    EXPECT_THAT(refusal(bytes(dict({{"x", call}}))), HasSubstr("x.pt: the pickle calls os.system"));
  }
}

TEST_P(EitherFormat, SelfContainingValuesNeitherHangNorOverflow) {
  const Written file(bytes("}q\x01" + text("self") + "h\x01s"));
  EXPECT_THAT(error_of([&] { collect_tensors(file.archive->root()); }), HasSubstr("nested deeper"));
}

TEST_P(EitherFormat, ListsSharedExponentiallyOftenNeitherHangNorFillMemory) {
  std::string body = "]q\x01";  // every list holds the one before ten times
  for (char level = 2; level < 60; ++level) {
    body += "]q" + std::string(1, level) + "(";
    for (int i = 0; i < 10; ++i) body += "h" + std::string(1, static_cast<char>(level - 1));
    body += "e";
  }
  const Written file(bytes(body));
  EXPECT_THAT(error_of([&] { collect_tensors(file.archive->root()); }), HasSubstr("shared more"));
}

TEST_P(EitherFormat, ALongKeySharedOftenDoesNotFillMemory) {
  const std::string key = text(std::string(1'000'000, 'k'));
  std::string body = "](}q\x01" + key + "]s";  // a list that holds one dictionary many times
  for (int i = 0; i < 100'000; ++i) body += "h\x01";
  const Written file(bytes(body + "e"));
  EXPECT_THAT(error_of([&] { collect_tensors(file.archive->root()); }), HasSubstr("named longer"));
}

TEST_P(EitherFormat, ADeepValueIsReadAndDestroyedWithoutRecursion) {
  const Written file(bytes(std::string(300000, '(') + std::string(300000, 't')));
  EXPECT_TRUE(file.archive->root().is(PickleValue::Kind::kTuple));
}

struct Attack {
  const char* name;
  std::string body;
  const char* sentence;
};

TEST_P(EitherFormat, HostileNumbersAreRefusedWithASentence) {
  const Attack attacks[] = {
      {"negative size", tensor(storage("0", 10), {-1}, {1}), "-1 in its sizes"},
      {"negative stride", tensor(storage("0", 10), {2}, {-1}), "-1 in its strides"},
      {"negative offset", tensor(storage("0", 10), {2}, {1}, -1), "offset -1"},
      {"offset", tensor(storage("0", 10), {2}, {1}, 9), "leaves its storage of 10 elements"},
      {"stride", tensor(storage("0", 10), {2}, {10}), "leaves its storage"},
      {"ranks", tensor(storage("0", 10), {2, 2}, {1}), "2 sizes and 1 strides"},
      {"overflow", tensor(storage("0", 10), {2147483647, 2147483647, 2147483647}, {0, 0, 0}),
       "overflows 63 bits"},
      {"overflow behind a zero",
       tensor(storage("0", 10), {0, 2147483647, 2147483647, 2147483647}, {0, 0, 0, 0}),
       "overflows 63 bits"},
      {"expansion", tensor(storage("0", 10), {2147483647}, {0}), "expands 10 elements"},
      {"no storage", tensor(text("0"), {2}, {1}), "not a storage"},
      {"two descriptions", "(" + storage("0", 10) + storage("0", 9) + "t", "described in two ways"},
      {"negative count", storage("0", -1), "-1 elements"},
      {"unknown storage", storage("0", 10, "QInt8Storage"), "which this reader does not know"},
      {"view", storage("0", 10, "FloatStorage", "}"), "a view of another"},
      {"string length",
       "X\xff\xff\xff\x7f"
       "abc",
       "ends early"},
      {"string length 64", "\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "ends early"},
      {"long length", "\x8b\xff\xff\xff\x7f", "ends early"},
      {"memo", "h\x07", "never stored"},
      {"mark", "t", "mark that was never set"},
      {"underflow", "s", "empty stack"},
      {"below the mark", "N(\x85", "empty stack"},
      {"opcode", "\xfe", "unknown opcode 0xfe"},
      {"protocol", "\x80\x63", "unknown protocol 99"},
      {"entries of a number", "K\x01K\x02K\x03s", "sets entries of an integer"},
      {"odd entries", "}(K\x01u", "a key without a value"},
      {"append to a dict",
       "}K\x01"
       "a",
       "appends to a dictionary"},
      {"call of a string", text("x") + ")R", "calls a string"},
      {"long name", global("collections", std::string(1000, 'A')), "names a class by 1011 bytes"},
  };
  for (const auto& attack : attacks) {
    const std::string said = refusal(bytes(attack.body));
    EXPECT_THAT(said, HasSubstr(attack.sentence)) << attack.name;
    EXPECT_THAT(said, HasSubstr("; ")) << attack.name << ": what to do";
  }
}

TEST_P(EitherFormat, AFileCutAnywhereIsRefused) {
  const std::string good = bytes(dict({{"w", tensor(storage("0", 10), {10}, {1})}}));
  constexpr size_t kAnyKindFits = 4;  // of fewer bytes nobody can tell what they were
  for (size_t size = 0; size < good.size(); ++size) {
    const std::string said = refusal(good.substr(0, size));
    EXPECT_THAT(said, HasSubstr(size < kAnyKindFits ? "" : "; ")) << size << " bytes";
    EXPECT_NE(said, "") << size << " bytes";
  }
}

TEST_P(EitherFormat, ADamagedByteNeverCrashes) {
  const std::string good = bytes(dict({{"w", tensor(storage("0", 10), {2, 5}, {5, 1})}}));
  RandomStream random(7);
  const TemporaryFolder folder;
  for (int i = 0; i < 500; ++i) {
    std::string bad = good;
    const auto at = random.integer(0, static_cast<int64_t>(good.size()) - 1);
    bad[static_cast<size_t>(at)] = static_cast<char>(random.integer(0, 255));
    write_bytes(folder / "x.pt", bad);
    // Either outcome is right; a crash, a hang or another exception is not.
    error_of([&] { collect_tensors(TorchArchive(folder / "x.pt").root()); });
  }
}

INSTANTIATE_TEST_SUITE_P(TorchArchive, EitherFormat, ::testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "Legacy" : "Zip");
});

TEST(TorchArchive, CopyingALongListAgainAndAgainIsStopped) {
  std::string body = "(" + std::string(100000, 'N') + "tq\x01";  // a tuple of 100,000
  for (int i = 0; i < 200; ++i) body += global("pathlib", "PosixPath") + "h\x01R0";
  EXPECT_THAT(refusal(torch_zip(body)), HasSubstr("values, which no checkpoint of its size does"));
}

TEST(TorchArchive, DamagedDataIsNoticedByItsChecksum) {
  std::string bytes = torch_zip(dict({{"w", tensor(storage("0", 10), {10}, {1})}}));
  const size_t data = bytes.find("archive/data/0") + 14;
  bytes[data + 5] ^= 1;
  EXPECT_THAT(refusal(bytes), HasSubstr("record archive/data/0 is damaged"));
}

TEST(TorchArchive, AFlippedBitAnywhereInAZipIsRefusedOrChangesNothing) {
  const std::string good = torch_zip(dict({{"w", tensor(storage("0", 10), {10}, {1})}}));
  const TemporaryFolder folder;
  size_t refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << at % 8));
    write_bytes(folder / "x.pt", bad);
    const std::string error = error_of([&] {
      const TorchArchive archive(folder / "x.pt");
      EXPECT_TRUE(at::equal(archive.root().find("w")->tensor->values(), at::arange(10, at::kFloat)))
          << at;
    });
    if (!error.empty()) ++refused;
  }
  EXPECT_GT(refused, good.size() / 3);  // the rest are dates, versions and the like
}

TEST(TorchArchive, AFileWhoseWriterLeftOutChecksumsIsRead) {
  // As torch.save does after torch.serialization.set_crc32_options(False).
  std::string bytes;
  {
    caffe2::serialize::PyTorchStreamWriter writer(
        [&](const void* data, size_t size) {
          bytes.append(static_cast<const char*>(data), size);
          return size;
        },
        /*compute_crc32=*/false);
    const std::string body = whole(dict({{"w", tensor(storage("0", 10), {10}, {1})}}));
    const std::string data = floats({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    writer.writeRecord("data.pkl", body.data(), body.size());
    writer.writeRecord("data/0", data.data(), data.size());
    writer.writeEndOfFile();
  }
  const Written file(bytes);
  EXPECT_TRUE(at::equal(file.tensor("w"), at::arange(10, at::kFloat)));
  EXPECT_THAT(file.archive->facts(),
              ::testing::Contains(::testing::Pair("checksums", "left out by the writer")));
}

TEST(TorchArchive, CompressedRecordsAreNamed) {
  EXPECT_THAT(refusal(stored_zip({{"archive/data.pkl", whole("N")}}, 8)),
              HasSubstr("record archive/data.pkl is compressed"));
}

TEST(TorchArchive, StorageKeysCannotLeaveTheArchive) {
  EXPECT_THAT(refusal(torch_zip(storage("../../../etc/passwd", 1))),
              HasSubstr("record archive/data/../../../etc/passwd is missing"));
}

TEST(TorchArchive, BigEndianDataIsRefused) {
  EXPECT_THAT(refusal(stored_zip({{"a/data.pkl", whole("N")}, {"a/byteorder", "big"}})),
              HasSubstr("big-endian"));
}

TEST(TorchArchive, AStorageThatClaimsMoreThanItsRecordIsRefused) {
  EXPECT_THAT(refusal(torch_zip(storage("0", 11))),
              HasSubstr("has 40 bytes, but the storage needs 44"));
  EXPECT_THAT(refusal(torch_legacy(storage("0", 11))),
              HasSubstr("storage 0 has 10 elements, the pickle says 11"));
}

}  // namespace
}  // namespace gear::io
