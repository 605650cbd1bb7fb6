#include "gear/dist/world.h"

#include <ATen/ops/empty.h>

#include <chrono>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <utility>

#include "dist/awaiting.h"
#include "dist/blame.h"
#include "dist/board.h"

namespace gear::dist {
namespace {

/// Begins a collective: `start` gives its work.
template <class Start>
Pending begin(const std::shared_ptr<const World::Group>& group, Start&& start) {
  group->monitor->activity().enter();
  c10::intrusive_ptr<c10d::Work> work;
  try {
    work = start();
  } catch (const c10::DistError& error) {
    group->monitor->give_up(error.what_without_backtrace());
  }
  return Pending([group, work = std::move(work)] {
    awaiting(*group, [&] { work->wait(); });
    if (!group->options.device.is_cpu()) group->monitor->activity().expect_gpu(mark_gpu);
  });
}

/// Begins to share texts: gives the keys of all ranks in the store.
std::vector<std::string> begin_share(const World::Group& group) {
  const std::string round = "share/" + std::to_string(group.shared_texts++) + "/";
  std::vector<std::string> keys;
  for (int64_t rank = 0; rank < group.size; ++rank) keys.push_back(round + std::to_string(rank));
  group.monitor->activity().enter();
  return keys;
}

/// Waits for the texts of all ranks.
std::vector<std::string> texts_at(const std::vector<std::string>& keys, const World::Group& group) {
  std::vector<std::string> texts;
  for (const auto& bytes : group.store->multiGet(keys)) {
    texts.emplace_back(bytes.begin(), bytes.end());
  }
  return texts;
}

/// Waits for the texts of all ranks, or until the others wait for this one somewhere else.
bool others_come(const std::vector<std::string>& keys, const World::Group& group) {
  constexpr auto kBetweenLooks = std::chrono::seconds(2);  // each of them beats in that time
  Board board(group.placement);
  auto before = board.signs();
  auto looked_at = std::chrono::steady_clock::now();
  while (!group.store->check(keys)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (std::chrono::steady_clock::now() - looked_at < kBetweenLooks) continue;
    auto after = board.signs();
    if (others_wait(group.placement.rank, before, after)) return false;
    before = std::move(after);
    looked_at = std::chrono::steady_clock::now();
  }
  return true;
}

}  // namespace

void Pending::wait() {
  if (auto wait = std::exchange(wait_, nullptr)) wait();
}

int64_t World::rank() const { return group_ ? group_->rank : 0; }
int64_t World::size() const { return group_ ? group_->size : 1; }

c10::Device World::device() const { return group_ ? group_->options.device : c10::kCPU; }

std::chrono::milliseconds World::timeout() const {
  return group_ ? group_->options.timeout : std::chrono::milliseconds(0);
}

const Placement& World::placement() const {
  static const Placement alone;
  return group_ ? group_->placement : alone;
}

void World::mean(const Tensor& tensor) const {
  if (is_single()) return;
  sum(tensor);
  tensor.div_(size());
}

Pending World::start_sum(const Tensor& tensor) const {
  if (is_single()) return {};
  std::vector<Tensor> tensors = {tensor};
  return begin(group_, [&] { return group_->backend->allreduce(tensors); });
}

Pending World::start_gather(const Tensor& whole, const Tensor& part) const {
  if (is_single()) {
    whole.copy_(part);
    return {};
  }
  Tensor output = whole;
  Tensor input = part;
  return begin(group_, [&] { return group_->backend->_allgather_base(output, input); });
}

Pending World::start_reduce_scatter(const Tensor& part, const Tensor& whole) const {
  if (is_single()) {
    part.copy_(whole);
    return {};
  }
  Tensor output = part;
  Tensor input = whole;
  return begin(group_, [&] { return group_->backend->_reduce_scatter_base(output, input); });
}

void World::exchange(const Tensor& received, const Tensor& sent) const {
  if (is_single()) {
    received.copy_(sent);
    return;
  }
  Tensor output = received;
  Tensor input = sent;
  std::vector<int64_t> equal_pieces;
  begin(group_, [&] {
    return group_->backend->alltoall_base(output, input, equal_pieces, equal_pieces);
  }).wait();
}

Tensor World::stack(const Tensor& tensor) const {
  auto sizes = tensor.sizes().vec();
  sizes.insert(sizes.begin(), size());
  const Tensor whole = at::empty(sizes, tensor.options().requires_grad(false));
  start_gather(whole.view(-1), tensor.detach().reshape(-1)).wait();
  return whole;
}

void World::broadcast(const Tensor& tensor, int64_t root) const {
  if (is_single()) return;
  std::vector<Tensor> tensors = {tensor};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  begin(group_, [&] { return group_->backend->broadcast(tensors, options); }).wait();
}

void World::barrier() const {
  if (is_single()) return;
  begin(group_, [&] { return group_->backend->barrier(); }).wait();
}

std::vector<std::string> World::share(const std::string& text) const {
  if (is_single()) return {text};
  const auto keys = begin_share(*group_);
  return awaiting(*group_, [&] {
    group_->store->set(keys[static_cast<size_t>(rank())], text);
    return texts_at(keys, *group_);
  });
}

std::vector<std::string> World::share_failure(const std::string& sentence) const {
  if (is_single() || sentence.empty()) return share(sentence);
  const auto keys = begin_share(*group_);
  return awaiting(*group_, [&] {
    group_->store->set(keys[static_cast<size_t>(rank())], sentence);
    if (others_come(keys, *group_)) return texts_at(keys, *group_);
    fail_others(sentence);
    return std::vector<std::string>{sentence};
  });
}

std::string first_of_ranks(const std::string& text, const World& world) {
  for (const std::string& of_rank : world.share(text)) {
    if (!of_rank.empty()) return of_rank;
  }
  return "";
}

void World::doing(const std::string& what) const {
  if (group_) group_->monitor->activity().doing(what);
}

std::shared_ptr<void> World::waiting_for_others() const {
  struct Held {
    explicit Held(std::shared_ptr<Monitor> of_process)
        : monitor(std::move(of_process)), waiting(monitor->activity()) {}
    std::shared_ptr<Monitor> monitor;  // outlives the waiting
    Activity::Waiting waiting;
  };
  return group_ ? std::make_shared<Held>(group_->monitor) : nullptr;
}

void World::fail_others(const std::string& sentence) const {
  const std::string first_line = sentence.substr(0, sentence.find('\n'));  // no stack trace
  if (group_) group_->monitor->fail_others("failed: " + first_line);
}

bool World::is_stopping() const { return group_ && group_->monitor->is_stopping(); }

World World::split(int64_t color) const {
  if (is_single()) return {};
  const int64_t number = group_->splits++;
  const auto colors = share(std::to_string(color));
  auto part = std::make_shared<Group>();
  part->placement = group_->placement;
  part->options = group_->options;
  part->monitor = group_->monitor;
  part->size = 0;
  for (int64_t other = 0; other < size(); ++other) {
    if (colors[static_cast<size_t>(other)] != std::to_string(color)) continue;
    if (other == rank()) part->rank = part->size;
    ++part->size;
  }
  if (part->size == 1) return {};
  part->store = c10::make_intrusive<c10d::PrefixStore>(
      "split/" + std::to_string(number) + "/" + std::to_string(color), group_->store);
  part->backend = awaiting(*part, [&] { return make_backend(*part); });
  return World(std::move(part));
}

}  // namespace gear::dist
