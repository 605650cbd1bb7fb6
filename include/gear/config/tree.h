#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace gear::config {

/// A YAML document as a tree that remembers where each value came from, so that an error about any
/// value can name its place long after files and overrides were merged.
struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string scalar{};
  std::vector<Node> list{};
  std::vector<std::pair<std::string, Node>> map{};  // in file order
  std::string origin{};                             // "configs/a.yaml:14" or "--set"

  const Node* find(const std::string& key) const;
  Node* find(const std::string& key);
};

/// What a message calls a value: "keys below it", "a list", "nothing", or the value itself.
std::string describe(const Node& node);

/// Reads a YAML file. `extends: other.yaml` (a path relative to the file, or a list of them) is
/// read first and then overridden key by key; a section without any key leaves what it extends as
/// it is. A file that several of them extend counts once, where it is reached first: pieces that
/// share a base can be listed together. Throws Error with file and line.
Node load_tree(const std::filesystem::path& path);

/// Applies "a.b.c=value" (value is YAML, so lists are [1, 2]) on top of the tree.
void apply_override(Node& root, const std::string& assignment);

/// "configs/a.yaml:14: ar.heads: " or "--set ar.heads: ", the start of every message about a key.
/// A key that was not given is "ar.heads (default): ".
std::string place(const Node& root, const std::string& dotted_key);

}  // namespace gear::config
