#include "gear/dist/side_board.h"

#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "dist/group.h"
#include "gear/core/error.h"

namespace gear::dist {

struct SideBoard::Connection {
  Store store;
  std::string owner;  // "rank 1 of 2", for messages
};

namespace {

template <class Action>
auto reaching(const SideBoard::Connection& connection, Action&& action) {
  try {
    return action(*connection.store);
  } catch (const std::exception& error) {  // c10's, or the socket's own
    const auto* c10_error = dynamic_cast<const c10::Error*>(&error);
    fail(connection.owner, ": rank 0 cannot be reached any more (",
         c10_error != nullptr ? c10_error->what_without_backtrace() : error.what(),
         "); all ranks stop: start them again to go on");
  }
}

}  // namespace

SideBoard::SideBoard()
    : connection_(std::make_shared<Connection>(
          Connection{.store = c10::make_intrusive<c10d::HashStore>(), .owner = "rank 0 of 1"})) {}

void SideBoard::set(const std::string& key, const std::string& text) const {
  reaching(*connection_, [&](c10d::Store& store) { store.set(key, text); });
}

std::optional<std::string> SideBoard::get(const std::string& key) const {
  return reaching(*connection_, [&](c10d::Store& store) -> std::optional<std::string> {
    if (!store.check({key})) return std::nullopt;
    return store.get_to_str(key);
  });
}

void SideBoard::remove(const std::string& key) const {
  reaching(*connection_, [&](c10d::Store& store) { store.deleteKey(key); });
}

SideBoard World::side_board() const {
  if (is_single()) return SideBoard();
  const std::string prefix = "side_board/" + std::to_string(group_->side_boards++);
  return SideBoard(std::make_shared<SideBoard::Connection>(SideBoard::Connection{
      .store = c10::make_intrusive<c10d::PrefixStore>(prefix, group_->store->clone()),
      .owner = "rank " + std::to_string(rank()) + " of " + std::to_string(size())}));
}

}  // namespace gear::dist
