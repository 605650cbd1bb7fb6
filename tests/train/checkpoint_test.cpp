#include "gear/train/checkpoint.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>

#include "gear/io/file_calls.h"
#include "gear/io/hash.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using testing::file_bytes;
using ::testing::HasSubstr;
using testing::message_of;
using testing::read_text;
using testing::TemporaryFolder;

std::vector<TensorGroup> some_groups(double value) {
  return {{"net", {{"weight", at::full({2, 3}, value)}, {"count", at::full({}, 4, at::kLong)}}},
          {"optimizer", {{"step", at::full({}, value)}}}};
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

class CheckpointTest : public ::testing::Test {
 protected:
  fs::path save(int64_t step) { return save(step, store_); }
  static fs::path save(int64_t step, const CheckpointStore& store) {
    return store.save({.step = step,
                       .micro_batches = 2 * step,
                       .samples = 16 * step,
                       .seed = 9,
                       .data = {.images = 16, .names_sha256 = "of the names"}},
                      "seed: 9\n", some_groups(static_cast<double>(step)));
  }
  std::vector<std::string> names() const { return names(store_); }
  static std::vector<std::string> names(const CheckpointStore& store) {
    std::vector<std::string> names;
    for (const auto& folder : store.list()) names.push_back(folder.filename().string());
    return names;
  }
  /// Step of the newest good checkpoint; what was printed meanwhile is in printed_.
  int64_t newest_step() {
    ::testing::internal::CaptureStderr();
    const auto checkpoint = store_.newest_good();
    printed_ = ::testing::internal::GetCapturedStderr();
    return checkpoint ? checkpoint->position().step : -1;
  }

  TemporaryFolder root_;
  CheckpointStore store_{root_.path() / "checkpoints", 3};
  std::string printed_;
};

TEST_F(CheckpointTest, GivesBackWhatWasSaved) {
  const fs::path folder = save(1000);
  EXPECT_EQ(folder.filename(), "step-00001000");
  const Checkpoint checkpoint(folder);
  checkpoint.verify();
  EXPECT_EQ(checkpoint.position().step, 1000);
  EXPECT_EQ(checkpoint.position().micro_batches, 2000);
  EXPECT_EQ(checkpoint.position().samples, 16000);
  EXPECT_EQ(checkpoint.position().seed, 9);
  EXPECT_EQ(checkpoint.position().data,
            (DataFingerprint{.images = 16, .names_sha256 = "of the names"}));
  EXPECT_EQ(checkpoint.groups(), (std::vector<std::string>{"net", "optimizer"}));
  EXPECT_EQ(read_text(checkpoint.config_path()), "seed: 9\n");

  const auto groups = some_groups(0.0);
  groups[0].tensors[1].second.fill_(0);
  checkpoint.load(groups);
  EXPECT_TRUE(groups[0].tensors[0].second.equal(at::full({2, 3}, 1000.0)));
  EXPECT_EQ(groups[0].tensors[1].second.item<int64_t>(), 4);
  EXPECT_EQ(groups[1].tensors[0].second.item<float>(), 1000.0F);
}

TEST_F(CheckpointTest, ManifestDescribesEveryFileAndTensor) {
  const fs::path folder = save(7);
  const auto manifest = nlohmann::json::parse(read_text(folder / "manifest.json"));
  EXPECT_EQ(manifest["format_version"], 2);
  EXPECT_EQ(manifest["world_size"], 1);
  EXPECT_EQ(manifest["shard"], "none");
  EXPECT_EQ(manifest["files"]["config.yaml"]["sha256"], io::sha256_of_file(folder / "config.yaml"));
  const auto& net = manifest["files"]["net.safetensors"];
  const fs::path file = folder / "net.safetensors";
  const uint64_t head = net["head"]["bytes"];
  EXPECT_EQ(net["bytes"], fs::file_size(file));
  EXPECT_EQ(net["head"]["sha256"], io::sha256_of_range(file, 0, head));
  const nlohmann::json part = {{"rank", 0},
                               {"offset", head},
                               {"bytes", 8 + 24},
                               {"sha256", io::sha256_of_range(file, head, 8 + 24)}};
  EXPECT_EQ(net["parts"], nlohmann::json::array({part}));
  EXPECT_EQ(net["tensor_count"], 2);
  const nlohmann::json weight = {
      {"global_shape", {2, 3}}, {"dtype", "F32"}, {"offset", head + 8}};  // behind the int64 count
  EXPECT_EQ(net["tensors"]["weight"], weight);
  EXPECT_EQ(read_text(folder / "manifest.sha256"),
            io::sha256_of_file(folder / "manifest.json") + "  manifest.json\n");
}

TEST_F(CheckpointTest, KeepsTheNewestOnesAndForeignFolders) {
  fs::create_directories(store_.folder() / "step-best");
  for (const int64_t step : {5, 10, 20, 100000000, 200000000}) save(step);
  EXPECT_EQ(names(),
            (std::vector<std::string>{"step-00000020", "step-100000000", "step-200000000"}));
  EXPECT_TRUE(fs::exists(store_.folder() / "step-best"));
}

TEST_F(CheckpointTest, DamagedOnesOfLaterStepsDoNotPushOutTheOneJustSaved) {
  for (const int64_t keep : {1, 2}) {
    const TemporaryFolder root;
    const CheckpointStore generous(root.path(), 3);
    for (const int64_t step : {10, 20, 30}) save(step, generous);
    fs::remove(root.path() / "step-00000030" / "net.safetensors");

    const CheckpointStore store(root.path(), keep);  // of the run that goes on from step 20
    ASSERT_EQ(store.newest_good([](const std::string&) {})->position().step, 20);
    save(25, store);
    std::vector<std::string> expected = {"step-00000025", "step-00000030"};
    if (keep == 2) expected.insert(expected.begin(), "step-00000020");
    EXPECT_EQ(names(store), expected) << "keep " << keep;
    EXPECT_EQ(store.newest_good([](const std::string&) {})->position().step, 25);
  }
}

TEST_F(CheckpointTest, DamagedOnesOfEarlierStepsDoNotCountAsKept) {
  const CheckpointStore store(root_.path() / "checkpoints", 2);
  save(10);
  write_text(save(20) / "net.safetensors", "changed");
  save(30, store);
  EXPECT_EQ(names(store),
            (std::vector<std::string>{"step-00000010", "step-00000020", "step-00000030"}));
  save(40, store);
  EXPECT_EQ(names(store), (std::vector<std::string>{"step-00000030", "step-00000040"}));
}

TEST_F(CheckpointTest, SavingAStepAgainReplacesIt) {
  save(3);
  store_.save({.step = 3}, "", {{"other", {{"a", at::zeros({1})}}}});
  EXPECT_EQ(Checkpoint(store_.folder() / "step-00000003").groups(),
            std::vector<std::string>{"other"});
  EXPECT_EQ(names().size(), 1U);
}

TEST_F(CheckpointTest, AFlippedBitInAnyFileIsNamedAndTheOneBeforeIsUsed) {
  save(1);
  const fs::path newest = save(2);
  for (const auto& [name, bytes] : file_bytes(newest)) {
    for (const size_t position : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
      std::string changed = bytes;
      changed[position] = static_cast<char>(changed[position] ^ 4);
      write_text(newest / name, changed);
      EXPECT_EQ(newest_step(), 1) << name << " at " << position;
      // A changed checksum file accuses the manifest it belongs to.
      const std::string named = name == "manifest.sha256" ? "manifest.json" : name;
      EXPECT_THAT(printed_,
                  HasSubstr("warning: " + (newest / named).string() + ": damaged: its SHA-256"));
      EXPECT_THAT(printed_, HasSubstr("; using step-00000001 instead"));
    }
    write_text(newest / name, bytes);
  }
  EXPECT_EQ(newest_step(), 2);
  EXPECT_EQ(printed_, "");
}

TEST_F(CheckpointTest, ACutOrMissingFileIsNamedAndTheOneBeforeIsUsed) {
  save(1);
  const fs::path newest = save(2);
  for (const auto& [name, bytes] : file_bytes(newest)) {
    write_text(newest / name, bytes.substr(0, bytes.size() / 2));
    EXPECT_EQ(newest_step(), 1) << name;
    EXPECT_THAT(printed_, HasSubstr(newest.string()));
    fs::remove(newest / name);
    EXPECT_EQ(newest_step(), 1) << name;
    EXPECT_THAT(printed_, HasSubstr((newest / name).string() + ": missing"));
    write_text(newest / name, bytes);
  }
  EXPECT_EQ(newest_step(), 2);
}

/// A disk that fails where the checksums are compared.
struct UnreadableFiles : io::FileCalls {
  ssize_t read_at(int, void*, size_t, off_t) override {
    errno = EIO;
    return -1;
  }
};

TEST_F(CheckpointTest, AnUnreadableFileIsNamedAndTheOneBeforeIsUsed) {
  save(1);
  const fs::path newest = save(2);
  const fs::path file = newest / "net.safetensors";
  fs::remove(file);
  fs::create_symlink(file, file);
  EXPECT_EQ(newest_step(), 1);
  EXPECT_THAT(printed_, HasSubstr(file.string() + ": cannot read: Too many levels of symbolic"));

  UnreadableFiles calls;
  const io::ReplacedFileCalls replaced(calls);
  EXPECT_THAT(message_of([&] { Checkpoint(store_.folder() / "step-00000001").verify(); }),
              HasSubstr("config.yaml: cannot read: Input/output error"));
}

TEST_F(CheckpointTest, AManifestThatLeavesBytesOutIsDamaged) {
  const fs::path folder = save(2);
  auto manifest = nlohmann::json::parse(read_text(folder / "manifest.json"));
  auto& net = manifest["files"]["net.safetensors"];
  net["parts"] = nlohmann::json::array();
  write_text(folder / "manifest.json", manifest.dump());
  write_text(folder / "manifest.sha256",
             io::sha256_of_bytes(manifest.dump()) + "  manifest.json\n");
  EXPECT_EQ(message_of([&] { Checkpoint checkpoint(folder); }),
            (folder / "manifest.json").string() + ": lists no SHA-256 for byte " +
                net["head"]["bytes"].dump() + " of net.safetensors");
}

TEST_F(CheckpointTest, AFileWithTheNameOfACheckpointIsNone) {
  save(1);
  write_text(store_.folder() / "step-00000009", "a note");
  EXPECT_EQ(newest_step(), 1);
  save(2);
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000001", "step-00000002"}));
}

TEST_F(CheckpointTest, AFolderThatCannotBeListedIsNotTakenForAnEmptyOne) {
  const fs::path folder = root_.path() / "checkpoints";
  fs::create_symlink(folder, folder);
  EXPECT_EQ(message_of([&] { store_.newest_good(); }),
            folder.string() + ": cannot be listed: Too many levels of symbolic links");
}

TEST_F(CheckpointTest, AllDamagedIsAnErrorRatherThanANewStart) {
  const fs::path only = save(1);
  fs::remove(only / "net.safetensors");
  EXPECT_EQ(message_of([&] { store_.newest_good(); }),
            (only / "net.safetensors").string() +
                ": missing, though manifest.json lists it; no checkpoint in " +
                store_.folder().string() +
                " is whole: restore one from a copy, or choose another run_dir to start over");
}

TEST_F(CheckpointTest, AWriteThatWasCutOffIsIgnored) {
  save(1);
  fs::create_directories(store_.folder() / ".step-00000002.partial");
  write_text(store_.folder() / ".step-00000002.partial" / "net.safetensors", "half");
  EXPECT_EQ(newest_step(), 1);
  save(2);
  EXPECT_EQ(newest_step(), 2);
  EXPECT_FALSE(fs::exists(store_.folder() / ".step-00000002.partial"));
}

TEST_F(CheckpointTest, AFullDiskLeavesTheEarlierOnesAndNothingElse) {
  save(1);
  rlimit old_limit{};
  getrlimit(RLIMIT_FSIZE, &old_limit);
  const rlimit small{.rlim_cur = 4096, .rlim_max = old_limit.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);  // the write then fails as on a full disk
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = message_of([&] {
    store_.save({.step = 2}, "",
                {{"small", {{"a", at::zeros({1})}}}, {"big", {{"a", at::zeros({10000})}}}});
  });
  setrlimit(RLIMIT_FSIZE, &old_limit);
  EXPECT_THAT(message, HasSubstr("big.safetensors: cannot write: File too large; raise the limit"));
  EXPECT_EQ(newest_step(), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(store_.folder()), fs::directory_iterator{}), 1);
}

TEST_F(CheckpointTest, AnotherArchitectureIsNamedAndNothingIsChanged) {
  const Checkpoint checkpoint(save(1));
  const std::string file = (checkpoint.folder() / "net.safetensors").string();
  const std::string advice =
      "; the checkpoint belongs to another architecture: use the configuration it was made with";
  const auto untouched = at::full({}, 0, at::kLong);
  const auto load = [&](NamedTensors tensors) {
    return message_of([&] { checkpoint.load({{"net", std::move(tensors)}}); });
  };
  EXPECT_EQ(load({{"count", untouched}, {"weight", at::zeros({2, 4})}}),
            file + ": weight: expected [2, 4], got [2, 3]" + advice);
  EXPECT_EQ(load({{"count", untouched}, {"weight", at::zeros({2, 3}, at::kDouble)}}),
            file + ": weight: expected F64, got F32" + advice);
  EXPECT_EQ(load({{"count", untouched}, {"weight", at::zeros({2, 3})}, {"bias", at::zeros({2})}}),
            file + ": bias is missing, expected [2]" + advice);
  EXPECT_EQ(load({{"count", untouched}}), file + ": weight has no place in this model" + advice);
  EXPECT_EQ(message_of([&] {
              checkpoint.load({{"ar", {{"count", untouched}}}});
            }),
            checkpoint.folder().string() +
                ": holds no ar, only net, optimizer; was it written by another recipe?");
  EXPECT_EQ(untouched.item<int64_t>(), 0);
}

TEST_F(CheckpointTest, ANewerFormatIsASentenceEvenWhenAnOlderOneIsThere) {
  save(1);
  const fs::path newest = save(2);
  auto manifest = nlohmann::json::parse(read_text(newest / "manifest.json"));
  manifest["format_version"] = 3;
  manifest["gear_version"] = "9.9.9";
  write_text(newest / "manifest.json", manifest.dump());
  write_text(newest / "manifest.sha256",
             io::sha256_of_bytes(manifest.dump()) + "  manifest.json\n");
  const std::string message = message_of([&] { store_.newest_good(); });
  EXPECT_THAT(
      message,
      HasSubstr("manifest.json: written in checkpoint format 3 by gear 9.9.9; this is gear "));
  EXPECT_THAT(message, HasSubstr(", which reads formats up to 2: use the newer gear"));
}

TEST_F(CheckpointTest, IsFoundByItsFolderAndByTheRunFolder) {
  save(1);
  const fs::path newest = save(2);
  EXPECT_EQ(find_checkpoint(newest)->folder(), newest);
  EXPECT_EQ(find_checkpoint(root_.path())->folder(), newest);
  EXPECT_EQ(find_checkpoint(root_.path() / "checkpoints")->folder(), newest);
  EXPECT_FALSE(find_checkpoint(root_.path() / "elsewhere").has_value());
}

TEST_F(CheckpointTest, AMissingFolderIsASentence) {
  const std::string path = (root_.path() / "step-00000009").string();
  EXPECT_EQ(
      message_of([&] { Checkpoint checkpoint(path); }),
      path +
          ": no such checkpoint folder; expected a folder like step-00001000 with a manifest.json");
}

}  // namespace
}  // namespace gear::train
