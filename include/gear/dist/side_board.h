#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace gear::dist {

/// Short texts that the ranks of a world leave for each other, over a connection of its own. Unlike
/// the collectives it may be used beside the steps: one thread at a time, not necessarily the one
/// that trains. Every call throws Error when rank 0, which keeps the texts, cannot be reached.
class SideBoard {
 public:
  SideBoard();  ///< of one process alone

  void set(const std::string& key, const std::string& text) const;
  /// What a rank has set, without waiting for it.
  std::optional<std::string> get(const std::string& key) const;
  void remove(const std::string& key) const;

  struct Connection;
  explicit SideBoard(std::shared_ptr<const Connection> connection)
      : connection_(std::move(connection)) {}

 private:
  std::shared_ptr<const Connection> connection_;
};

}  // namespace gear::dist
