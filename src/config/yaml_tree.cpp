#include "config/yaml_tree.h"

#include <unordered_set>
#include <utility>

#include "gear/core/error.h"

namespace gear::config {
namespace {

/// Turns a YAML document into a tree. An alias may repeat a value, or contain itself, so that a
/// small file stands for a huge or endless tree; the limits end that.
class TreeBuilder {
 public:
  TreeBuilder(std::string source, bool with_line)
      : source_(std::move(source)), with_line_(with_line) {}

  /// `depth` levels stand above `yaml`.
  Node build(const YAML::Node& yaml, int depth = 0) {
    Node node;
    node.origin = origin_of(yaml);
    check_limits(node.origin, depth, yaml.Scalar().size());
    switch (yaml.Type()) {
      case YAML::NodeType::Scalar:
        node.kind = Node::Kind::kScalar;
        node.scalar = yaml.Scalar();
        break;
      case YAML::NodeType::Sequence:
        node.kind = Node::Kind::kList;
        for (const auto& item : yaml) node.list.push_back(build(item, depth + 1));
        break;
      case YAML::NodeType::Map:
        node.kind = Node::Kind::kMap;
        add_entries(node, yaml, depth);
        break;
      default:
        break;
    }
    return node;
  }

 private:
  std::string origin_of(const YAML::Node& yaml) const {
    if (!with_line_ || yaml.Mark().is_null()) return source_;
    return source_ + ":" + std::to_string(yaml.Mark().line + 1);
  }

  void check_limits(const std::string& origin, int depth, size_t text_bytes) {
    constexpr int kMostLevels = 32;
    constexpr size_t kMostBytes = 10'000'000, kValueBytes = 100;
    if (depth > kMostLevels) {
      fail(origin, ": nests more than ", kMostLevels,
           " levels deep; does an alias (*name) stand inside its own anchor (&name)?");
    }
    bytes_ += kValueBytes + text_bytes;
    if (bytes_ > kMostBytes) {
      fail(origin, ": stands for more than ", kMostBytes / kValueBytes, " values or ", kMostBytes,
           " bytes; do aliases (*name) repeat lists that hold aliases themselves?");
    }
  }

  void add_entries(Node& node, const YAML::Node& yaml, int depth) {
    std::unordered_set<std::string> keys;
    for (const auto& item : yaml) {
      const std::string key = item.first.Scalar();
      const std::string origin = origin_of(item.first);
      if (!keys.insert(key).second) fail(origin, ": ", key, ": this key is given twice");
      Node child = build(item.second, depth + 1);
      child.origin = origin;
      node.map.emplace_back(key, std::move(child));
    }
  }

  std::string source_;
  bool with_line_;
  size_t bytes_ = 0;  // of the tree so far, about
};

}  // namespace

Node tree_of(const YAML::Node& yaml, const std::string& source, bool with_line) {
  return TreeBuilder(source, with_line).build(yaml);
}

}  // namespace gear::config
