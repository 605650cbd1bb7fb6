#include "gear/config/config.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace gear::config::detail {
namespace {

[[noreturn]] void fail_type(const Node& node, const std::string& at, const char* expected) {
  fail(at, "expected ", expected, ", got ", describe(node));
}

template <class T>
bool parse_number(const std::string& text, T& value) {
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  return error == std::errc() && stop == end && begin != end;
}

/// The words that YAML takes for nothing.
bool is_null(const std::string& word) { return word == "null" || word == "Null" || word == "NULL"; }

bool is_control(char character) {
  return static_cast<unsigned char>(character) < 0x20 || character == 0x7f;
}

}  // namespace

bool parse(const Node& node, const std::string& at, bool) {
  if (node.kind == Node::Kind::kScalar) {
    if (node.scalar == "true") return true;
    if (node.scalar == "false") return false;
  }
  fail_type(node, at, "true or false");
}

int64_t parse(const Node& node, const std::string& at, int64_t) {
  int64_t value = 0;
  if (node.kind == Node::Kind::kScalar && parse_number(node.scalar, value)) return value;
  fail_type(node, at, "an integer");
}

double parse(const Node& node, const std::string& at, double) {
  double value = 0.0;
  if (node.kind == Node::Kind::kScalar && parse_number(node.scalar, value) &&
      std::isfinite(value)) {
    return value;
  }
  fail_type(node, at, "a number");
}

std::string parse(const Node& node, const std::string& at, const std::string&) {
  if (node.kind == Node::Kind::kNull) return "";
  if (node.kind == Node::Kind::kScalar) return node.scalar;
  fail_type(node, at, "text");
}

std::string format(bool value) { return value ? "true" : "false"; }

std::string format(int64_t value) { return std::to_string(value); }

std::string format(double value) {
  std::array<char, 32> text{};
  const auto result = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), result.ptr};
}

std::string format(const std::string& value) {
  const std::string harmless =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+";
  if (!value.empty() && value.find_first_not_of(harmless) == std::string::npos && value[0] != '-' &&
      !is_null(value)) {
    return value;
  }
  std::string quoted = "\"";
  for (char character : value) {
    if (character == '"' || character == '\\') quoted += '\\';
    if (character == '\n') {
      quoted += "\\n";
    } else if (is_control(character)) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(character));
      quoted += escaped;
    } else {
      quoted += character;
    }
  }
  return quoted + "\"";
}

void fail_unknown_key(const std::string& at, const std::string& key,
                      const std::vector<std::string>& known) {
  const std::string near = nearest_name(key, known);
  if (!near.empty()) fail(at, "unknown key; did you mean ", near, "?");
  fail(at, "unknown key; known here: ", join(known));
}

void expect_map(const Node& node, const std::string& at) {
  if (node.kind != Node::Kind::kMap && node.kind != Node::Kind::kNull) {
    fail_type(node, at, "keys below it");
  }
}

void expect_list(const Node& node, const std::string& at) {
  if (node.kind != Node::Kind::kList) fail_type(node, at, "a list such as [1, 2]");
}

}  // namespace gear::config::detail
