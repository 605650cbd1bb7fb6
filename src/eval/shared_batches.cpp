#include "eval/shared_batches.h"

#include <ATen/ops/tensor.h>

#include <exception>
#include <string>

#include "gear/core/error.h"

namespace gear::eval {
namespace {

constexpr int64_t kFailed = -1;

/// Practically differs between different pictures; 0 for none. FNV-1a over the sample ids.
int64_t fingerprint(const std::optional<data::Batch>& batch) {
  if (!batch) return 0;
  uint64_t hash = 0xcbf29ce484222325;
  for (const int64_t id : batch->sample_ids) {
    hash = (hash ^ static_cast<uint64_t>(id)) * 0x100000001b3;
  }
  return static_cast<int64_t>(hash >> 1);  // never kFailed
}

std::string sentence_of(const std::exception_ptr& failure) {
  if (!failure) return "";
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  }
}

/// Throws on all ranks: what has failed here, or else what has failed on another rank.
[[noreturn]] void fail_together(const std::exception_ptr& failure, const dist::World& world) {
  const std::string first = dist::first_of_ranks(sentence_of(failure), world);
  if (failure) std::rethrow_exception(failure);
  if (!first.empty()) fail("another rank failed: ", first);
  fail("ranks read different held-out pictures, because one of them cannot read some that others ",
       "can (they are named above); repair or remove these, and give all ranks the same files");
}

}  // namespace

std::optional<data::Batch> next_of_all(data::ValidationLoader& loader, const dist::World& world) {
  if (world.is_single()) return loader.next();
  std::optional<data::Batch> batch;
  std::exception_ptr failure;
  try {
    batch = loader.next();
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  const int64_t own = failure ? kFailed : fingerprint(batch);
  const auto all = world.stack(at::tensor(own, at::kLong).to(world.device())).cpu();  // [W]
  if (all.eq(all[0]).all().item<bool>() && !failure) return batch;
  fail_together(failure, world);
}

}  // namespace gear::eval
