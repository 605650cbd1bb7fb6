#include "gear/data/index_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/index_files.h"
#include "gear/io/hash.h"
#include "gear/io/safetensors.h"
#include "io/temporary_folder.h"

namespace gear::data {
namespace {

using io::error_of;
using io::TemporaryFolder;
using ::testing::HasSubstr;
using testing::index_file;

TEST(IndexFile, GivesBackWhatWasWrittenInTheSmallestType) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  struct Expected {
    int64_t codes;
    at::ScalarType type;
  };
  for (const Expected& expected : {Expected{256, at::kByte}, Expected{257, at::kShort},
                                   Expected{32768, at::kShort}, Expected{32769, at::kInt}}) {
    IndexFile file = index_file();
    file.info.codebook_size = expected.codes;
    write_index_file(path, file);
    const IndexFile read = read_index_file(path);
    EXPECT_EQ(read.indices.scalar_type(), expected.type) << expected.codes;
    EXPECT_EQ(read.info, file.info);
    EXPECT_EQ(read.names, file.names);
    EXPECT_TRUE(read.indices.to(at::kLong).equal(file.indices));
    EXPECT_TRUE(read.mirrored.to(at::kLong).equal(file.mirrored));
    EXPECT_TRUE(read.labels.equal(file.labels));
  }
}

TEST(IndexFile, NamesWhatIsWrongWithAFile) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  const std::string name = path.string();
  const std::string damaged = "; the file is damaged, encode the pictures again";
  io::write_safetensors(path, {{"indices", at::arange(4)}});
  EXPECT_EQ(error_of([&] { read_index_file(path); }),
            name + ": is no file of indices; expected one that gear encode wrote");
  io::write_safetensors(path, {{"indices", at::arange(4)}}, {{"format", "gear indices 2"}});
  EXPECT_EQ(error_of([&] { read_index_file(path); }),
            name +
                ": is no file of indices; expected one that gear encode wrote (format \"gear "
                "indices 1\")");
  IndexFile file = index_file();
  file.labels = file.labels.add(1);
  write_index_file(path, file);
  EXPECT_EQ(error_of([&] { read_index_file(path); }),
            name + ": labels: 2 is not the number of one of its 2 classes" + damaged);
  file = index_file();
  file.names.pop_back();
  write_index_file(path, file);
  EXPECT_EQ(error_of([&] { read_index_file(path); }),
            name + ": has 4 names for 5 labels" + damaged);
  file = index_file();
  file.info.grid = 3;
  write_index_file(path, file);
  EXPECT_EQ(error_of([&] { read_index_file(path); }),
            name + ": indices: expected [5, 9], got [5, 4]" + damaged);
  file = index_file(/*number=*/2, /*files=*/2);
  write_index_file(path, file);
  EXPECT_EQ(error_of([&] { read_index_file(path); }),
            name + ": is file 2 of a set of 2, counted from 0" + damaged);
  io::write_safetensors(path, {{"indices", at::arange(4)}}, {{"format", "gear indices 1"}});
  EXPECT_EQ(error_of([&] { read_index_file(path); }),
            name + ": has no metadata image_size" + damaged);
}

TEST(IndexSet, JoinsTheFilesOfAFolder) {
  const TemporaryFolder folder;
  const IndexFile first = index_file(0, 2), second = index_file(1, 2);
  write_index_file(folder / "0.safetensors", first);
  write_index_file(folder / "1.safetensors", second);
  const IndexSet set(folder.path());
  EXPECT_EQ(set.size(), 10);
  EXPECT_EQ(set.label(6), 1);
  const Tensor tokens = set.tokens({6, 0, 9}, {false, false, true});
  EXPECT_EQ(tokens.scalar_type(), at::kLong);
  EXPECT_TRUE(tokens[0].equal(second.indices[1]));
  EXPECT_TRUE(tokens[1].equal(first.indices[0]));
  EXPECT_TRUE(tokens[2].equal(second.mirrored[4]));
  std::string names;
  for (const IndexFile* file : {&first, &second}) {
    for (const std::string& name : file->names) names += name + "\n";
  }
  EXPECT_EQ(set.names_sha256(), io::sha256_of_bytes(names));
}

TEST(IndexSet, RefusesAPartOfASetAndAMixture) {
  const TemporaryFolder folder;
  const auto second = folder / "1.safetensors";
  write_index_file(second, index_file(1, 3));
  EXPECT_EQ(error_of([&] { IndexSet set(folder.path()); }),
            folder.path().string() +
                ": file 0 of 3 (counted from 0) is not there; run the same gear encode again, it "
                "writes what is missing");
  EXPECT_EQ(error_of([&] { IndexSet set(second); }),
            second.string() +
                ": file 0 of 3 (counted from 0) is not there; name the folder that holds them all");
  write_index_file(folder / "0.safetensors", index_file(0, 2));
  EXPECT_EQ(error_of([&] { IndexSet set(folder.path()); }),
            second.string() +
                ": belongs to another set than 0.safetensors beside it; keep the files of each set "
                "in a folder of their own");
}

TEST(IndexSet, RefusesWhatIsNotThere) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of([&] { IndexSet set(folder / "none"); }),
            (folder / "none").string() +
                ": there is no such file or folder of indices; make it with gear encode");
  EXPECT_EQ(error_of([&] { IndexSet set(folder.path()); }),
            folder.path().string() +
                ": holds no *.safetensors; expected a folder that gear encode wrote");
}

TEST(IndexSet, AnIndexBeyondTheCodebookIsNamedWhenItIsUsed) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  IndexFile file = index_file();
  file.indices[3][1] = 300;
  write_index_file(path, file);
  const IndexSet set(path);
  EXPECT_EQ(set.tokens({2}, {false}).size(0), 1);
  EXPECT_EQ(error_of([&] { set.tokens({3}, {false}); }),
            path.string() +
                ": indices of picture 3 hold 300, which is no code of a codebook of 300; the file "
                "is damaged, encode the pictures again");
  file.indices[3][1] = -1;
  write_index_file(path, file);
  EXPECT_THAT(error_of([&] { IndexSet(path).tokens({3}, {false}); }), HasSubstr("hold -1, which"));
}

}  // namespace
}  // namespace gear::data
