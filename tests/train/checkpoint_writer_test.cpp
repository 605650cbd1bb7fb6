#include "gear/train/checkpoint_writer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>

#include "gear/io/file_calls.h"
#include "tiny_run.h"
#include "train/save_plan.h"
#include "train/shared_folder.h"
#include "train/snapshot.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using dist::World;
using dist::testing::run_ranks;
using ::testing::HasSubstr;
using testing::message_of;
using testing::SharedFolder;
using testing::TemporaryFolder;
using Mode = CheckpointWriter::Mode;

/// A disk on which nothing is renamed before it may: no checkpoint becomes visible.
class HeldBack : public io::FileCalls {
 public:
  int rename(const char* from, const char* to) override {
    std::unique_lock lock(mutex_);
    allowed_.wait(lock, [&] { return open_; });
    return io::FileCalls::rename(from, to);
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    allowed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable allowed_;
  bool open_ = false;
};

struct FullDisk : io::FileCalls {
  ssize_t write_at(int, const void*, size_t, off_t) override {
    errno = ENOSPC;
    return -1;
  }
};

class CheckpointWriterTest : public ::testing::Test {
 protected:
  void save(CheckpointWriter& writer, int64_t step) {
    writer.save({.step = step}, "seed: 9\n", {{"net", {{"weight", weight_}}}});
  }
  float first_value(int64_t step) const {
    const auto loaded = at::full({100}, -1.0F);
    Checkpoint(store_.folder() / checkpoint_name(step)).load({{"net", {{"weight", loaded}}}});
    return loaded[0].item<float>();
  }

  TemporaryFolder root_;
  CheckpointStore store_{root_.path(), 3};
  Tensor weight_ = at::full({100}, 1.0F);
};

TEST_F(CheckpointWriterTest, ReturnsAtOnceAndLaterChangesDoNotReachTheCheckpoint) {
  HeldBack disk;
  const io::ReplacedFileCalls replaced(disk);
  CheckpointWriter writer(store_, Mode::kBeside);
  save(writer, 1);
  weight_.fill_(2.0F);
  EXPECT_TRUE(store_.list().empty());
  EXPECT_EQ(writer.take_finished(), std::nullopt);
  disk.let_go();
  writer.wait();
  EXPECT_EQ(first_value(1), 1.0F);
  EXPECT_EQ(writer.take_finished(), root_.path() / "step-00000001");
  EXPECT_EQ(writer.take_finished(), std::nullopt) << "told once";
}

TEST_F(CheckpointWriterTest, ASecondSaveWaitsForTheFirst) {
  CheckpointWriter writer(store_, Mode::kBeside);
  for (const int64_t step : {1, 2, 3}) {
    weight_.fill_(static_cast<float>(step));
    save(writer, step);
    EXPECT_GE(store_.list().size() + 1, static_cast<size_t>(step));
  }
  writer.wait();
  for (const int64_t step : {1, 2, 3}) EXPECT_EQ(first_value(step), static_cast<float>(step));
}

TEST_F(CheckpointWriterTest, AtOnceNeedsNoWait) {
  CheckpointWriter writer(store_, Mode::kAtOnce);
  save(writer, 1);
  EXPECT_EQ(first_value(1), 1.0F);
  EXPECT_EQ(writer.take_finished(), root_.path() / "step-00000001");
}

TEST_F(CheckpointWriterTest, AnErrorIsThrownOnceByTheNextCallAndLeavesNothing) {
  const std::string expected =
      (root_.path() / ".step-00000001.partial/net.safetensors").string() +
      ": cannot write: No space left on device; free space there or choose another output folder";
  for (const Mode mode : {Mode::kBeside, Mode::kAtOnce}) {
    CheckpointWriter writer(store_, mode);
    std::string message;
    {
      FullDisk disk;
      const io::ReplacedFileCalls replaced(disk);
      message = message_of([&] {
        save(writer, 1);
        while (!writer.failed()) std::this_thread::yield();
        save(writer, 2);
      });
      EXPECT_FALSE(writer.failed());
    }
    EXPECT_EQ(message, expected);
    EXPECT_EQ(writer.take_finished(), std::nullopt);
    EXPECT_TRUE(fs::is_empty(root_.path()));
    writer.wait();
  }
}

TEST_F(CheckpointWriterTest, EndsWhatIsUnderWayBeforeItIsGone) {
  {
    CheckpointWriter writer(store_, Mode::kBeside);
    save(writer, 1);
  }
  EXPECT_EQ(first_value(1), 1.0F);
}

TEST_F(CheckpointWriterTest, CallsBackJustBeforeTheCheckpointIsVisible) {
  for (const Mode mode : {Mode::kBeside, Mode::kAtOnce}) {
    CheckpointWriter writer(store_, mode);
    bool called = false;
    writer.save({.step = 5}, "", {{"net", {{"weight", weight_}}}}, [&] {
      called = true;
      EXPECT_TRUE(store_.list().empty());
      EXPECT_TRUE(fs::exists(root_.path() / ".step-00000005.partial" / "manifest.sha256"));
    });
    writer.wait();
    EXPECT_TRUE(called);
    fs::remove_all(root_.path() / "step-00000005");
  }
}

/// The bytes of everything that is planned, one after the other.
std::string bytes_of(const SavePlan& plan) {
  std::string bytes;
  for (const PlannedPart& part : plan[0].parts) {
    for (const Segment& segment : part.segments) {
      const auto values = segment.elements().contiguous();
      bytes.append(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
    }
  }
  return bytes;
}

TEST(Snapshot, CopiesAnyLayoutAndKeepsItsMemory) {
  const auto image = at::rand({4, 3, 5, 5}).contiguous(at::MemoryFormat::ChannelsLast);
  const auto flags = at::arange(7).remainder(2).to(at::kBool);
  const auto large = at::rand({600'000});  // several pieces
  const auto plan_of = [&] {
    return std::make_shared<const SavePlan>(plan_save(
        {{"net", {{"image", image}, {"flags", flags}, {"t", image[0][0].t()}, {"large", large}}}},
        {}));
  };
  const auto plan = plan_of();
  Snapshot snapshot;
  const void* memory = nullptr;
  for (const auto& asked : {plan, plan, plan_of()}) {
    image.uniform_();
    large.uniform_();
    const auto copy = snapshot.take(asked);
    const std::string expected = bytes_of(*plan);
    EXPECT_EQ(bytes_of(*copy), expected);
    image.uniform_();
    large.uniform_();
    EXPECT_EQ(bytes_of(*copy), expected) << "what changes later does not reach the copy";
    const void* now = (*copy)[0].parts[0].segments[0].tensor.const_data_ptr();
    if (memory != nullptr) {
      EXPECT_EQ(now, memory);
    }
    memory = now;
  }
}

TEST_F(CheckpointWriterTest, FollowsTensorsThatChangeTheirMemory) {
  CheckpointWriter writer(store_, Mode::kBeside);
  writer.prepare({{"net", {{"weight", weight_}}}});
  save(writer, 1);
  weight_ = at::full({100}, 5.0F);
  save(writer, 2);
  weight_.fill_(6.0F);
  save(writer, 3);
  writer.wait();
  EXPECT_EQ(first_value(1), 1.0F);
  EXPECT_EQ(first_value(2), 5.0F);
  EXPECT_EQ(first_value(3), 6.0F);
}

TEST(SharedCheckpointWriter, SavesWhileTheRanksGoOnWithCollectives) {
  run_ranks(3, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path(), 3, {.world = world});
    CheckpointWriter writer(store, Mode::kBeside);
    const auto value = at::full({20000}, 0.0F);
    for (int64_t step = 1; step <= 8; ++step) {
      value.fill_(static_cast<float>(step));
      writer.save({.step = step}, "", {{"net", {{"value", value}}}});
      for (int i = 0; i < 5; ++i) world.sum(value);
    }
    writer.wait();
    const auto newest = store.newest_good();
    ASSERT_EQ(newest->position().step, 8);
    newest->load({{"net", {{"value", value}}}});
    EXPECT_TRUE(value.equal(at::full({20000}, 8.0F)));
  });
}

TEST(SharedCheckpointWriter, TheErrorOfOneRankIsThrownByAll) {
  run_ranks(3, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path(), 3, {.world = world});
    CheckpointWriter writer(store, Mode::kBeside);
    FullDisk disk;
    {
      std::optional<io::ReplacedFileCalls> replaced;
      if (world.rank() == 1) replaced.emplace(disk);
      writer.save({.step = 1}, "", {{"net", {{"value", at::full({20000}, 1.0F)}}}});
      EXPECT_THAT(message_of([&] { writer.wait(); }),
                  ::testing::MatchesRegex("rank 1: .*: cannot write: No space left on device.*"));
    }
    world.barrier();
    EXPECT_TRUE(fs::is_empty(folder.path()));
    world.barrier();  // before another rank starts the next save in there
    writer.save({.step = 1}, "", {{"net", {{"value", at::full({20000}, 1.0F)}}}});
    writer.wait();
    EXPECT_EQ(store.newest_good()->position().step, 1);
  });
}

TEST(SharedCheckpointWriter, DoesNotWaitForARankThatIsGoneWhenTheRunEnds) {
  run_ranks(2, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path(), 3, {.world = world});
    if (world.is_first()) {
      ::testing::internal::CaptureStderr();
      {
        CheckpointWriter writer(store, Mode::kBeside);
        writer.save({.step = 1}, "", {{"net", {{"value", at::full({20000}, 1.0F)}}}});
      }
      EXPECT_THAT(::testing::internal::GetCapturedStderr(),
                  HasSubstr("warning: a checkpoint was not finished: no longer waited for rank 1 "
                            "of 2, because the run ends"));
      EXPECT_TRUE(fs::is_empty(folder.path()));
    }
  });
}

}  // namespace
}  // namespace gear::train
