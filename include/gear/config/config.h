#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "gear/config/rules.h"
#include "gear/config/tree.h"
#include "gear/core/error.h"
#include "gear/core/text.h"

/// Typed configuration, declared once. A struct lists its fields in one template:
///
///   struct ArConfig {
///     int64_t dim = 768;
///     template <class Visitor> void fields(Visitor& v) {
///       v("dim", dim, "Model width.", config::at_least(1));
///     }
///     void check(const config::Where& at) const {   // optional: rules between fields
///       if (dim % heads != 0) fail(at("heads"), "must divide dim (", dim, "), got ", heads);
///     }
///   };
///
/// and reading, range checks, overrides, help and the dump follow. Field types: bool, int64_t,
/// double, std::string, enums with `enum_names`, std::vector of int64_t, double or std::string, and
/// other such structs.
namespace gear::config {

/// Specialise for an enum to make it a field type: the names in the order of the enumerators 0, 1,
/// ...
///   template <> struct EnumNames<Readout> {
///     static constexpr std::array<const char*, 2> value = {"soft", "ste"}; };
template <class Enum>
struct EnumNames;

/// Start of a message about a key of one struct: `at("heads")` is "configs/a.yaml:14: ar.heads: ".
class Where {
 public:
  Where(const Node* root, std::string prefix) : root_(root), prefix_(std::move(prefix)) {}
  std::string operator()(const std::string& key) const { return place(*root_, prefix_ + key); }

 private:
  const Node* root_;
  std::string prefix_;
};

namespace detail {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
concept Value = std::same_as<T, bool> || std::same_as<T, int64_t> || std::same_as<T, double> ||
    std::same_as<T, std::string> || std::is_enum_v<T>;

bool parse(const Node& node, const std::string& at, bool);
int64_t parse(const Node& node, const std::string& at, int64_t);
double parse(const Node& node, const std::string& at, double);
std::string parse(const Node& node, const std::string& at, const std::string&);

template <class T>
requires std::is_enum_v<T> T parse(const Node& node, const std::string& at, T) {
  const std::string text = parse(node, at, std::string{});
  const auto& names = EnumNames<T>::value;
  std::vector<std::string> list;
  for (size_t i = 0; i < names.size(); ++i) {
    if (text == names[i]) return static_cast<T>(i);
    list.emplace_back(names[i]);
  }
  const std::string near = nearest_name(text, list);
  fail(at, "must be one of ", join(list), ", got ", text,
       near.empty() ? "" : "; did you mean " + near + "?");
}

std::string format(bool value);
std::string format(int64_t value);
std::string format(double value);
std::string format(const std::string& value);

template <class T>
requires std::is_enum_v<T> std::string format(T value) {
  return EnumNames<T>::value[static_cast<size_t>(value)];
}

template <class T>
std::string format(const std::vector<T>& values) {
  std::vector<std::string> parts;
  for (const T& value : values) parts.push_back(format(value));
  return "[" + join(parts) + "]";
}

template <class T, class Rule>
void enforce(const T& value, const Rule& rule, const std::string& at) {
  if constexpr (IsVector<T>::value) {
    for (const auto& item : value) enforce(item, rule, at);
  } else {
    std::string reason;
    if constexpr (std::is_same_v<T, std::string>) {
      reason = rule.violation(value);
    } else {
      reason = rule.violation(static_cast<double>(value));
    }
    if (!reason.empty()) fail(at, reason, ", got ", format(value));
  }
}

[[noreturn]] void fail_unknown_key(const std::string& at, const std::string& key,
                                   const std::vector<std::string>& known);
void expect_map(const Node& node, const std::string& at);
void expect_list(const Node& node, const std::string& at);

}  // namespace detail

/// Fails on the first key of a tree that the struct does not have. It runs before any value is
/// looked at: a mistyped key must not be told as a missing value of the key that was meant.
class KeyChecker {
 public:
  KeyChecker(const Node& root, const Node& node, std::string prefix)
      : root_(root), node_(node), prefix_(std::move(prefix)) {}

  template <class T, class... Rules>
  void operator()(const char* name, T& field, const char* /*help*/, const Rules&... /*rules*/) {
    known_.emplace_back(name);
    if constexpr (!detail::Value<T> && !detail::IsVector<T>::value) {
      const Node* child = node_.find(name);
      if (child != nullptr) check_struct(root_, *child, prefix_ + name + ".", field);
    }
  }

  template <class T>
  static void check_struct(const Node& root, const Node& node, const std::string& prefix,
                           T& value) {
    KeyChecker checker(root, node, prefix);
    value.fields(checker);
    for (const auto& [key, child] : node.map) checker.expect_known(key);
  }

 private:
  void expect_known(const std::string& key) const {
    for (const std::string& name : known_) {
      if (name == key) return;
    }
    detail::fail_unknown_key(place(root_, prefix_ + key), key, known_);
  }

  const Node& root_;
  const Node& node_;
  std::string prefix_;
  std::vector<std::string> known_;
};

/// Fills a struct from a tree; fails on wrong types and broken rules.
class Reader {
 public:
  Reader(const Node& root, const Node* node, std::string prefix)
      : root_(root), node_(node), prefix_(std::move(prefix)) {}

  template <class T, class... Rules>
  void operator()(const char* name, T& field, const char* /*help*/, const Rules&... rules) {
    const Node* child = node_ == nullptr ? nullptr : node_->find(name);
    if constexpr (detail::Value<T> || detail::IsVector<T>::value) {
      const std::string at = place(root_, prefix_ + name);
      if (child != nullptr) field = read_value<T>(*child, at);
      (detail::enforce(field, rules, at), ...);
    } else {
      if (child != nullptr) detail::expect_map(*child, place(root_, prefix_ + name));
      read_struct(root_, child, prefix_ + name + ".", field);
    }
  }

  /// Reads every field of `value`, then runs its own `check`.
  template <class T>
  static void read_struct(const Node& root, const Node* node, const std::string& prefix, T& value) {
    Reader reader(root, node, prefix);
    value.fields(reader);
    if constexpr (requires { value.check(Where(&root, prefix)); })
      value.check(Where(&root, prefix));
  }

 private:
  template <class T>
  static T read_value(const Node& node, const std::string& at) {
    if constexpr (detail::IsVector<T>::value) {
      detail::expect_list(node, at);
      T values;
      for (const Node& item : node.list) {
        values.push_back(detail::parse(item, at, typename T::value_type{}));
      }
      return values;
    } else {
      return detail::parse(node, at, T{});
    }
  }

  const Node& root_;
  const Node* node_;
  std::string prefix_;
};

/// Writes a struct as YAML, each key under its help text.
class Dumper {
 public:
  Dumper(std::string* out, int indent, bool with_help)
      : out_(out), indent_(indent), with_help_(with_help) {}

  template <class T, class... Rules>
  void operator()(const char* name, T& field, const char* help, const Rules&... rules) {
    const std::string pad(static_cast<size_t>(indent_), ' ');
    if (with_help_) {
      std::string limits;
      ((limits += (limits.empty() ? "" : ", ") + rules.text), ...);
      if constexpr (std::is_enum_v<T>) limits = choices<T>();
      *out_ += pad + "# " + help + (limits.empty() ? "" : " [" + limits + "]") + "\n";
    }
    if constexpr (detail::Value<T> || detail::IsVector<T>::value) {
      *out_ += pad + name + ": " + detail::format(field) + "\n";
    } else {
      *out_ += pad + name + ":\n";
      Dumper inner(out_, indent_ + 2, with_help_);
      field.fields(inner);
    }
  }

 private:
  template <class Enum>
  static std::string choices() {
    std::vector<std::string> names(EnumNames<Enum>::value.begin(), EnumNames<Enum>::value.end());
    return join(names, " | ");
  }

  std::string* out_;
  int indent_;
  bool with_help_;
};

/// Builds T from a tree: defaults, then the given keys; everything is checked.
template <class T>
T read(const Node& root) {
  T value;
  KeyChecker::check_struct(root, root, "", value);
  Reader::read_struct(root, &root, "", value);
  return value;
}

/// Defaults, then the file (with what it extends), then `overrides` ("a.b=c"), in this order.
template <class T>
T load(const std::filesystem::path& path, const std::vector<std::string>& overrides = {}) {
  Node root = load_tree(path);
  for (const std::string& assignment : overrides) apply_override(root, assignment);
  return read<T>(root);
}

/// The whole struct as YAML. Loading the result gives the same struct.
template <class T>
std::string dump(T value, bool with_help = true) {
  std::string text;
  Dumper dumper(&text, 0, with_help);
  value.fields(dumper);
  return text;
}

}  // namespace gear::config
