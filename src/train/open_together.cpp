#include "train/open_together.h"

#include <unistd.h>

#include <array>
#include <exception>
#include <system_error>

namespace gear::train {
namespace {

namespace fs = std::filesystem;

// What a rank has found, the first character of its text. What follows is a sentence, or the
// SHA-256 of the manifest.
constexpr char kGood = '+';
constexpr char kDamaged = 'd';
constexpr char kMissing = 'm';
constexpr char kRefused = 'e';

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

/// Opens the checkpoint and verifies this rank's share of it.
std::string look_at(const fs::path& folder, const dist::World& world,
                    std::optional<Checkpoint>& checkpoint) {
  std::error_code ignored;
  if (!world.is_first() && !fs::exists(folder, ignored)) return {kMissing};
  try {
    checkpoint.emplace(folder);
    checkpoint->verify(world.rank(), world.size());
    return kGood + checkpoint->sha256();
  } catch (const DamagedCheckpoint& damage) {
    return kDamaged + std::string(damage.what());
  } catch (const std::exception& error) {
    return kRefused + std::string(error.what());
  }
}

}  // namespace

std::string told_by_first(const dist::World& world, const std::function<std::string()>& action) {
  if (world.is_single()) return action();
  std::exception_ptr failure;
  std::string told;
  if (world.is_first()) {
    try {
      told = kGood + action();
    } catch (const std::exception& error) {
      failure = std::current_exception();
      told = kRefused + std::string(error.what());
    }
  }
  told = world.share(told)[0];
  if (failure) std::rethrow_exception(failure);
  if (told[0] == kRefused) throw Error(told.substr(1));
  return told.substr(1);
}

void first_rank_does(const dist::World& world, const std::function<void()>& action) {
  told_by_first(world, [&] {
    action();
    return std::string();
  });
}

void fail_not_shared(const dist::World& world, int64_t rank, const fs::path& folder,
                     const std::string& what) {
  const auto hosts = world.share(host_name());
  fail(folder.string(), ": is not shared between rank 0 on ", hosts[0], " and rank ", rank, " on ",
       hosts[static_cast<size_t>(rank)], ": rank ", rank, " does not see ", what,
       " of rank 0; choose a folder on a file system that all ranks have mounted there");
}

Checkpoint open_verified(const fs::path& folder, const dist::World& world) {
  if (world.is_single()) {
    Checkpoint checkpoint(folder);
    checkpoint.verify();
    return checkpoint;
  }
  std::optional<Checkpoint> checkpoint;
  const auto found = world.share(look_at(folder, world, checkpoint));
  for (const char kind : {kRefused, kDamaged}) {
    for (const std::string& text : found) {
      if (text[0] != kind) continue;
      if (kind == kDamaged) throw DamagedCheckpoint(text.substr(1));
      throw Error(text.substr(1));
    }
  }
  for (size_t rank = 1; rank < found.size(); ++rank) {
    if (found[rank] == found[0]) continue;
    fail_not_shared(world, static_cast<int64_t>(rank), folder.parent_path(),
                    folder.filename().string());
  }
  return *checkpoint;
}

}  // namespace gear::train
