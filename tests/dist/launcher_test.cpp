#include "gear/dist/launcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <future>
#include <sstream>
#include <thread>

#include "dist/line_prefixer.h"
#include "gear/core/error.h"
#include "gear/dist/lost_rank.h"
#include "io/temporary_folder.h"

namespace gear::dist {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

LaunchOptions shell(const std::string& script, int64_t processes = 2) {
  return {.command = {"/bin/sh", "-c", script},
          .processes = processes,
          .grace = std::chrono::seconds(1)};
}

struct Outcome {
  int code = -1;
  std::string out, err;
};

Outcome launched(const LaunchOptions& options) {
  Outcome outcome;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  outcome.code = launch(options);
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

bool comes_true(const std::function<bool()>& condition) {
  for (int tries = 0; tries < 6000; ++tries) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// Another thread may be the one to which the system gives the signal that a child has ended.
TEST(Launcher, SeesTheEndOfItsRanksBesideOtherThreads) {
  std::promise<void> end;
  const auto ended = end.get_future().share();
  std::vector<std::thread> others;
  for (int i = 0; i < 4; ++i) others.emplace_back([ended] { ended.wait(); });
  for (int i = 0; i < 30; ++i) EXPECT_EQ(launch(shell("exit 0", /*processes=*/1)), 0);
  end.set_value();
  for (auto& other : others) other.join();
}

/// A launcher in a process of its own, whose ranks write their process ids into `folder`.
class LauncherProcess {
 public:
  LauncherProcess(const fs::path& folder, const std::string& script) : folder_(folder) {
    const std::string tell = "echo $$ > " + folder.string() + "/new-$RANK && mv " +
                             folder.string() + "/new-$RANK " + folder.string() + "/$RANK; ";
    id_ = ::fork();
    if (id_ != 0) return;
    const int err = ::open((folder / "err").c_str(), O_WRONLY | O_CREAT, 0666);
    ::dup2(err, STDERR_FILENO);
    ::_exit(launch(shell("trap 'exit 75' TERM USR1; " + tell + script)));
  }
  ~LauncherProcess() {
    if (id_ > 0) kill_and_reap();
  }

  bool ranks_are_up() const {
    return comes_true([&] { return fs::exists(folder_ / "0") && fs::exists(folder_ / "1"); });
  }
  pid_t rank(int number) const {
    pid_t id = -1;
    std::ifstream(folder_ / std::to_string(number)) >> id;
    return id;
  }
  void signal(int number) const { ::kill(id_, number); }
  int wait() {
    int status = -1;
    ::waitpid(id_, &status, 0);
    id_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void kill_and_reap() {
    signal(SIGKILL);
    wait();
  }

 private:
  fs::path folder_;
  pid_t id_ = -1;
};

/// Whether no such process runs; one that its new parent has not reaped yet does not run.
bool is_gone(pid_t id) {
  std::ifstream stat("/proc/" + std::to_string(id) + "/stat");
  std::string number, name, state;
  return !(stat >> number >> name >> state) || state == "Z";
}

TEST(Launcher, GivesEveryRankThePlaceThatTorchrunWould) {
  auto options = shell(
      "echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $MASTER_ADDR $MASTER_PORT "
      "$TORCHELASTIC_RUN_ID");
  options.machines = 2;
  options.machine = 1;
  options.master_address = "node1";
  options.master_port = 1234;
  options.run_id = "mine";
  const Outcome outcome = launched(options);
  EXPECT_EQ(outcome.code, exit_code::kSuccess);
  EXPECT_THAT(lines_of(outcome.out), UnorderedElementsAre("[rank 2] 2 4 0 2 node1 1234 mine",
                                                          "[rank 3] 3 4 1 2 node1 1234 mine"));
  EXPECT_EQ(outcome.err, "");
}

TEST(Launcher, FindsAPortAndReplacesAnOldPlace) {
  ::setenv("RANK", "7", 1);
  const Outcome outcome = launched(shell("test $RANK -lt 2 -a $MASTER_PORT -gt 1023", 2));
  ::unsetenv("RANK");
  EXPECT_EQ(outcome.code, exit_code::kSuccess) << outcome.err;
}

TEST(Launcher, LinesOfAllButRankZeroTellTheirRankAndStayWhole) {
  const std::string write = "printf 'first '; printf error >&2; sleep 0.1; printf 'line\\nrest'";
  const Outcome others = launched(shell("test $RANK = 0 || { " + write + "; }"));
  EXPECT_EQ(others.out, "[rank 1] first line\n[rank 1] rest\n");
  EXPECT_EQ(others.err, "[rank 1] error\n");
  const Outcome first = launched(shell(write, 1));
  EXPECT_EQ(first.out, "first line\nrest");
  EXPECT_EQ(first.err, "error");
}

TEST(Launcher, NoOutputIsLostAtTheEnd) {
  const Outcome outcome = launched(shell("test $RANK = 0 || seq 1 30000"));
  const auto lines = lines_of(outcome.out);
  ASSERT_EQ(lines.size(), 30000U);
  EXPECT_EQ(lines.back(), "[rank 1] 30000");
}

TEST(Launcher, NamesTheRankThatFailsAndKillsThoseThatGoOn) {
  const Outcome outcome = launched(shell("test $RANK = 0 || exit 3; exec sleep 1000"));
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err,
              ContainsRegex("error: rank 1 \\(process [0-9]+\\) ended with exit code 3"));
  EXPECT_THAT(outcome.err,
              ContainsRegex("error: rank 0 \\(process [0-9]+\\) did not end within 1 s "
                            "of the failure and was killed"));
}

TEST(Launcher, OthersMayEndByThemselvesAfterAFailure) {
  const Outcome outcome = launched(shell("test $RANK = 0 || exit 3; sleep 0.2; exit 69"));
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, Not(HasSubstr("was killed")));
}

TEST(Launcher, ARankThatLostAnotherIsNotTheCause) {
  const Outcome outcome = launched(shell("test $RANK = 1 || exit 69; sleep 0.2; exit 2"));
  EXPECT_EQ(outcome.code, exit_code::kUserError);
  EXPECT_THAT(outcome.err,
              ContainsRegex("error: rank 1 \\(process [0-9]+\\) ended with exit code 2"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("rank 0")));
  const Outcome all = launched(shell("exit 69"));
  EXPECT_EQ(all.code, exit_code::kRankLost);
  EXPECT_THAT(all.err,
              ContainsRegex("error: rank [01] \\(process [0-9]+\\) ended with exit code 69"));
}

TEST(Launcher, AKilledRankIsLostAndACrashedOneIsADefect) {
  const Outcome killed = launched(shell("test $RANK = 0 || kill -KILL $$"));
  EXPECT_EQ(killed.code, exit_code::kRankLost);
  EXPECT_THAT(killed.err, ContainsRegex("error: rank 1 \\(process [0-9]+\\) was ended by SIGKILL "
                                        "\\(perhaps for lack of memory: see dmesg\\)"));
  const Outcome crashed = launched(shell("test $RANK = 0 || kill -SEGV $$"));
  EXPECT_EQ(crashed.code, exit_code::kInternalError);
  EXPECT_THAT(crashed.err, ContainsRegex("rank 1 \\(process [0-9]+\\) was ended by SIGSEGV"));
}

TEST(Launcher, AStoppedRankIsKilledWhenTheOthersHaveGivenUp) {
  const Outcome outcome = launched(shell("test $RANK = 0 && exit 69; kill -STOP $$"));
  EXPECT_EQ(outcome.code, exit_code::kRankLost);
  EXPECT_THAT(outcome.err,
              ContainsRegex("error: rank 1 \\(process [0-9]+\\) did not end within 1 s"));
}

TEST(Launcher, RanksThatWereInterruptedAndSavedAreNoFailure) {
  const Outcome outcome = launched(shell("exit 75"));
  EXPECT_EQ(outcome.code, exit_code::kInterrupted);
  EXPECT_EQ(outcome.err, "");
}

TEST(Launcher, LeavesNoZombie) {
  launched(shell("exit $RANK", 3));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(Launcher, PassesSignalsOn) {
  for (const int number : {SIGTERM, SIGUSR1}) {
    const io::TemporaryFolder folder;
    LauncherProcess launcher(folder.path(), "while :; do sleep 0.02; done");
    ASSERT_TRUE(launcher.ranks_are_up());
    launcher.signal(number);
    EXPECT_EQ(launcher.wait(), exit_code::kInterrupted);
    EXPECT_TRUE(is_gone(launcher.rank(0)) && is_gone(launcher.rank(1)));
  }
}

TEST(Launcher, ASignalThatEndsTheRanksIsTold) {
  const io::TemporaryFolder folder;
  LauncherProcess launcher(folder.path(), "while :; do sleep 0.02; done");
  ASSERT_TRUE(launcher.ranks_are_up());
  launcher.signal(SIGINT);  // the shells do not catch it
  EXPECT_EQ(launcher.wait(), 128 + SIGINT);
}

TEST(Launcher, NoRankOutlivesAKilledLauncher) {
  const io::TemporaryFolder folder;
  LauncherProcess launcher(folder.path(), "exec sleep 1000");
  ASSERT_TRUE(launcher.ranks_are_up());
  launcher.kill_and_reap();
  EXPECT_TRUE(comes_true([&] { return is_gone(launcher.rank(0)) && is_gone(launcher.rank(1)); }));
}

TEST(LinePrefixer, ErasesTheLiveLineOfATerminal) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  const int line = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  LinePrefixer prefixer(line, "[rank 1] ");
  prefixer.add("saved\n");
  std::array<char, 64> text{};
  const auto size = ::read(terminal, text.data(), text.size());
  EXPECT_EQ(std::string(text.data(), static_cast<size_t>(size)), "\r\033[2K[rank 1] saved\r\n");
  ::close(line);
  ::close(terminal);
}

}  // namespace
}  // namespace gear::dist
