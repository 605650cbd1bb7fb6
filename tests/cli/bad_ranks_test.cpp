// Two ranks of `gear train` that do not fit together: one sentence each, and all end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

#include "cli/tiny_setup.h"
#include "dist/launch_environment.h"
#include "dist/silent_listener.h"
#include "gear/dist/lost_rank.h"

namespace gear::cli::testing {
namespace {

using ::testing::MatchesRegex;

fs::path gear_program() {
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "gear";
}

/// Two ranks as torchrun starts them, each in a folder of its own, that train with the same
/// arguments.
class TwoRanks {
 public:
  explicit TwoRanks(const TinySetup& tiny, const std::string& arguments = "",
                    uint16_t port = dist::free_port())
      : tiny_(tiny), arguments_(arguments), port_(std::to_string(port)) {}

  /// What a rank says, once it has ended.
  Outcome run(int rank, const fs::path& program = gear_program()) const {
    const std::string number = std::to_string(rank);
    const fs::path folder = tiny_.root() / number;
    fs::create_directories(folder);
    const std::string command =
        "cd '" + folder.string() + "' && RANK=" + number + " LOCAL_RANK=" + number +
        " WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=" + port_ + " '" +
        program.string() + "' train '" + tiny_.config().string() +
        "' --set parallel.timeout_seconds=5 " + arguments_ + " 2>err.txt";
    const int status = std::system(command.c_str());
    return {.exit_code = WEXITSTATUS(status), .out = "", .err = io::read_bytes(folder / "err.txt")};
  }

  std::vector<Outcome> run_both(const fs::path& program_of_second = gear_program()) const {
    auto second = std::async(std::launch::async, [&] { return run(1, program_of_second); });
    const Outcome first = run(0);
    return {first, second.get()};
  }

  std::string place() const { return "127.0.0.1:" + port_; }

 private:
  const TinySetup& tiny_;
  std::string arguments_, port_;
};

void expect_error(const Outcome& outcome, int code, const std::string& sentence) {
  EXPECT_EQ(outcome.exit_code, code) << outcome.err;
  EXPECT_THAT(outcome.last_error_line(), MatchesRegex("error: " + sentence)) << outcome.err;
}

/// A copy of the program in `folder` whose linker has given it another number.
fs::path other_build(const fs::path& folder) {
  const std::string note("\4\0\0\0\24\0\0\0\3\0\0\0GNU\0",
                         16);  // before the 20 bytes of the number
  std::string bytes = io::read_bytes(gear_program());
  const size_t at = bytes.find(note);
  EXPECT_NE(at, std::string::npos);
  char& digit = bytes.at(at + note.size());
  digit = static_cast<char>(digit ^ 1);
  const fs::path copy = folder / "other_gear";
  std::ofstream(copy, std::ios::binary) << bytes;
  fs::permissions(copy, fs::perms::owner_all);
  return copy;
}

/// A checkpoint as a later gear would write it.
void raise_format(const fs::path& checkpoint) {
  auto manifest = nlohmann::json::parse(io::read_bytes(checkpoint / "manifest.json"));
  manifest["format_version"] = 99;
  std::ofstream(checkpoint / "manifest.json") << manifest.dump();
  std::ofstream(checkpoint / "manifest.sha256")
      << io::sha256_of_bytes(manifest.dump()) << "  manifest.json\n";
}

TEST(BadRanks, ABatchThatCannotBeDivided) {
  const TinySetup tiny;
  for (const Outcome& outcome : TwoRanks(tiny, "--set data.batch_size=5").run_both()) {
    expect_error(
        outcome, exit_code::kUserError,
        "data.batch_size: must be a multiple of 2 \\(2 ranks with 1 micro-batches each\\), "
        "got 5; change it, optimizer.accumulation or the number of ranks");
  }
  EXPECT_FALSE(fs::exists(tiny.run()));
}

TEST(BadRanks, AnotherBuildOfTheProgram) {
  const TinySetup tiny;
  for (const Outcome& outcome : TwoRanks(tiny).run_both(other_build(tiny.root()))) {
    expect_error(outcome, exit_code::kUserError,
                 "rank 1 \\(host .+\\) differs from rank 0 \\(host .+\\) in the build of gear: "
                 "[0-9a-f]{40}, not [0-9a-f]{40}; start the same program with the same "
                 "configuration on all ranks");
  }
  EXPECT_FALSE(fs::exists(tiny.run()));
}

TEST(BadRanks, APortThatAnotherProgramUses) {
  const TinySetup tiny;
  const dist::testing::SilentListener other;
  const TwoRanks ranks(tiny, "", other.port);
  const auto outcomes = ranks.run_both();
  expect_error(outcomes[0], exit_code::kUserError,
               "rank 0 of 2: port [0-9]+ of this machine is in use by another program, perhaps "
               "another run; choose another MASTER_PORT \\(--master-port\\)");
  expect_error(outcomes[1], exit_code::kRankLost,
               "rank 1 of 2: what listens at " + ranks.place() +
                   " has not answered within 5 s; rank 0 is stopped, or another program listens "
                   "there");
}

TEST(BadRanks, ARankThatDoesNotCome) {
  const TinySetup tiny;
  const TwoRanks alone(tiny);
  expect_error(alone.run(0), exit_code::kRankLost,
               "rank 0 of 2: rank 1 did not come to " + alone.place() +
                   " within 5 s; check that all were started with this MASTER_ADDR and "
                   "MASTER_PORT, and that none has ended with an error");
  const dist::testing::HeldPort held;
  const TwoRanks ranks(tiny, "", held.port);
  expect_error(ranks.run(1), exit_code::kRankLost,
               "rank 1 of 2: rank 0 did not come to " + ranks.place() +
                   " within 5 s; check that it was started there and that no firewall is between");
}

TEST(BadRanks, ARunFolderThatIsNotShared) {
  const TinySetup tiny;
  for (const Outcome& outcome : TwoRanks(tiny, "--set run_dir=own").run_both()) {
    expect_error(outcome, exit_code::kUserError,
                 "own: is not shared between rank 0 on .+ and rank 1 on .+: rank 1 does not see "
                 ".lock of rank 0; choose a folder on a file system that all ranks have "
                 "mounted there");
  }
}

TEST(BadRanks, ACheckpointOfANewerFormat) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train().exit_code, exit_code::kSuccess);
  raise_format(tiny.run() / "checkpoints" / "step-00000003");
  for (const Outcome& outcome : TwoRanks(tiny, "--set steps=4").run_both()) {
    expect_error(outcome, exit_code::kUserError,
                 ".*/step-00000003/manifest.json: written in checkpoint format 99 by gear .+; this "
                 "is gear .+, which reads formats up to 2: use the newer gear");
  }
}

}  // namespace
}  // namespace gear::cli::testing
