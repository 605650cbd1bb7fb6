#include "gear/config/tree.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "config/yaml_tree.h"
#include "gear/config/text.h"
#include "gear/core/error.h"

namespace gear::config {
namespace {

void merge(Node& base, Node&& top) {
  if (base.kind == Node::Kind::kMap && top.kind == Node::Kind::kNull) return;
  if (base.kind != Node::Kind::kMap || top.kind != Node::Kind::kMap || base.map.empty()) {
    base = std::move(top);
    return;
  }
  std::unordered_map<std::string, size_t> places;  // of the keys of both
  for (size_t i = 0; i < base.map.size(); ++i) places.emplace(base.map[i].first, i);
  for (auto& [key, child] : top.map) {
    const auto place = places.find(key);
    if (place != places.end()) {
      merge(base.map[place->second].second, std::move(child));
    } else {
      base.map.emplace_back(key, std::move(child));
    }
  }
  base.origin = top.origin;
}

/// The files named by the value of `extends`, in its order.
std::vector<std::string> names_of_bases(const Node& extends) {
  std::vector<std::string> names;
  const bool is_list = extends.kind == Node::Kind::kList;
  for (const Node& item : is_list ? extends.list : std::vector<Node>{extends}) {
    if (item.kind != Node::Kind::kScalar) {
      fail(extends.origin, ": extends: expected the path of a file or a list of paths, got ",
           is_list ? "a list with " : "", describe(item), is_list ? " in it" : "");
    }
    names.push_back(item.scalar);
  }
  return names;
}

/// The keys and values of the document that `load` reads.
template <class Load>
Node top_level(const std::string& source, Load load) {
  Node top;
  try {
    top = tree_of(load(), source, /*with_line=*/true);
  } catch (const YAML::Exception& cause) {
    fail(source, ":", cause.mark.line + 1, ": not valid YAML: ", cause.msg);
  }
  if (top.kind == Node::Kind::kNull) top.kind = Node::Kind::kMap;  // an empty file sets nothing
  if (top.kind != Node::Kind::kMap) fail(source, ": expected keys and values at the top level");
  return top;
}

/// Canonical paths of the files of one configuration.
struct Files {
  std::set<std::string> open;  // the one being read and those that extend it
  std::set<std::string> read;
};

Node load_with_bases(const std::filesystem::path& path, Files& files) {
  const std::string source = path.string();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    fail(source, ": is a folder; name a .yaml file in it");
  }
  if (!std::filesystem::is_regular_file(path, ignored)) {
    fail(source, ": no such configuration file");
  }
  const std::string canonical = std::filesystem::weakly_canonical(path).string();
  if (files.open.contains(canonical)) {
    fail(source, ": extends itself (through the files it extends)");
  }
  Node merged;
  merged.kind = Node::Kind::kMap;
  if (!files.read.insert(canonical).second) return merged;  // its keys are there already
  files.open.insert(canonical);
  Node top = top_level(source, [&] { return YAML::LoadFile(source); });
  const auto extends = std::find_if(top.map.begin(), top.map.end(),
                                    [](auto& item) { return item.first == "extends"; });
  if (extends != top.map.end()) {
    for (const std::string& name : names_of_bases(extends->second)) {
      with_context(extends->second.origin + ": extends",
                   [&] { merge(merged, load_with_bases(path.parent_path() / name, files)); });
    }
    top.map.erase(extends);
  }
  merge(merged, std::move(top));
  files.open.erase(canonical);
  return merged;
}

const Node* find_dotted(const Node& root, const std::string& dotted_key) {
  const Node* node = &root;
  size_t start = 0;
  while (node != nullptr && start <= dotted_key.size()) {
    const size_t dot = std::min(dotted_key.find('.', start), dotted_key.size());
    node = node->find(dotted_key.substr(start, dot - start));
    start = dot + 1;
  }
  return node;
}

}  // namespace

const Node* Node::find(const std::string& key) const {
  for (const auto& [name, child] : map) {
    if (name == key) return &child;
  }
  return nullptr;
}

Node* Node::find(const std::string& key) {
  return const_cast<Node*>(static_cast<const Node*>(this)->find(key));
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kMap:
      return "keys below it";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kScalar:
      break;
  }
  return node.scalar.empty() ? "nothing" : node.scalar;
}

Node load_tree(const std::filesystem::path& path) {
  Files files;
  return load_with_bases(path, files);
}

Node parse_tree(const std::string& yaml, const std::string& source) {
  return top_level(source, [&] { return YAML::Load(yaml); });
}

void apply_override(Node& root, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    fail("--set ", assignment, ": expected key=value, for example --set ar.depth=12");
  }
  const std::string key = assignment.substr(0, equals);
  Node value;
  try {
    value = tree_of(YAML::Load(assignment.substr(equals + 1)), "--set", false);
  } catch (const YAML::Exception& cause) {
    fail("--set ", key, ": not a valid YAML value: ", cause.msg);
  }
  if (value.kind == Node::Kind::kNull) value.kind = Node::Kind::kScalar;  // "key=" means empty text

  Node* node = &root;
  for (size_t start = 0; start <= key.size();) {
    const size_t dot = std::min(key.find('.', start), key.size());
    const std::string name = key.substr(start, dot - start);
    if (name.empty()) fail("--set ", assignment, ": the key has an empty part");
    if (node->kind != Node::Kind::kMap) *node = Node{.kind = Node::Kind::kMap, .origin = "--set"};
    if (node->find(name) == nullptr) {
      node->map.emplace_back(name, Node{.kind = Node::Kind::kMap, .origin = "--set"});
    }
    node = node->find(name);
    start = dot + 1;
  }
  value.origin = "--set";
  *node = std::move(value);
}

std::string place(const Node& root, const std::string& dotted_key) {
  const Node* node = find_dotted(root, dotted_key);
  if (node == nullptr) return dotted_key + " (default): ";
  return node->origin + (node->origin == "--set" ? " " : ": ") + dotted_key + ": ";
}

}  // namespace gear::config
