#include "io/strict_json.h"

#include <unordered_set>
#include <utility>

#include "gear/core/error.h"

namespace gear::io {
namespace {

using Json = nlohmann::json;

/// Looks at the structure alone, before anything is built. (The callback of Json::parse would do,
/// but the library then goes over all members of an object whenever one of them ends.)
class StructureCheck : public nlohmann::json_sax<Json> {
 public:
  StructureCheck(const std::string& name, size_t max_depth) : name_(name), max_depth_(max_depth) {}

  std::vector<std::string> take_keys() { return std::move(outer_keys_); }

  bool start_object(size_t) override { return open(); }
  bool start_array(size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& key) override {
    if (!open_.back().insert(key).second) fail(name_, " names '", key, "' twice");
    if (open_.size() == 1) outer_keys_.push_back(key);
    return true;
  }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t) override { return true; }
  bool number_unsigned(uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(Json::binary_t&) override { return true; }
  bool parse_error(size_t, const std::string&, const Json::exception& error) override {
    fail(name_, " is not valid JSON (", error.what(),
         "); the file is damaged or of another kind, fetch or copy it again");
  }

 private:
  bool open() {
    if (open_.size() == max_depth_) fail(name_, " is nested deeper than ", max_depth_, " levels");
    open_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& name_;
  size_t max_depth_;
  std::vector<std::unordered_set<std::string>> open_;  // the keys of each open object
  std::vector<std::string> outer_keys_;
};

}  // namespace

StrictJson parse_strict_json(const std::string& name, std::string_view text, size_t max_depth) {
  StructureCheck check(name, max_depth);
  Json::sax_parse(text.begin(), text.end(), &check);
  return {Json::parse(text.begin(), text.end()), check.take_keys()};
}

}  // namespace gear::io
