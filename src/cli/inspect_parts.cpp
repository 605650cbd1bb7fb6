#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/inspect.h"
#include "cli/print.h"
#include "cli/value_progress.h"
#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "gear/core/text.h"
#include "gear/io/safetensors.h"

namespace gear::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kBadTensorsShown = 10;

std::string size_text(int64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

std::string full_name(const InspectedPart& part, const io::StoredTensor& tensor) {
  return part.part.name.empty() ? tensor.name : part.part.name + "/" + tensor.name;
}

std::string shown_name(const InspectedPart& part, const io::StoredTensor& tensor) {
  return printable(full_name(part, tensor));
}

/// Names the tensors with values that are no numbers, the first few of them.
void print_bad_tensors(const std::vector<InspectedPart>& parts) {
  size_t shown = 0, all = 0;
  for (const InspectedPart& part : parts) {
    for (size_t i = 0; i < part.nonfinite.size(); ++i) {
      const NonFinite& bad = part.nonfinite[i];
      if (bad.total() == 0 || ++all > kBadTensorsShown) continue;
      ++shown;
      print_line("  ", shown_name(part, part.part.tensors[i]), ": ", format_count(bad.nan),
                 " NaN and ", format_count(bad.inf), " infinite of ",
                 format_count(part.part.tensors[i].numel()), " values");
    }
  }
  if (all > shown) print_line("  ... and ", all - shown, " more tensors with such values");
}

void print_table(const std::vector<InspectedPart>& parts) {
  std::printf("  %-26s %8s %16s %10s  %-10s %7s %7s  %s\n", "part", "tensors", "values", "size",
              "dtypes", "NaN", "Inf", "looks like");
  for (const InspectedPart& part : parts) {
    const NonFinite bad = part.all_nonfinite();
    const bool read = !part.nonfinite.empty() || part.part.tensors.empty();
    std::printf("  %-26s %8zu %16s %10s  %-10s %7s %7s  %s\n",
                part.part.name.empty() ? "-" : printable(part.part.name).c_str(),
                part.part.tensors.size(), format_count(part.numel()).c_str(),
                size_text(part.bytes()).c_str(), part.dtypes().c_str(),
                read ? format_count(bad.nan).c_str() : "-",
                read ? format_count(bad.inf).c_str() : "-", part.guess.text.c_str());
  }
  std::fflush(stdout);
}

Json tensor_json(const InspectedPart& part, size_t i) {
  const io::StoredTensor& tensor = part.part.tensors[i];
  Json json = {{"name", tensor.name}, {"dtype", dtype_text(tensor.dtype)}, {"shape", tensor.shape}};
  if (!part.nonfinite.empty()) {
    json["nan"] = part.nonfinite[i].nan;
    json["inf"] = part.nonfinite[i].inf;
  }
  return json;
}

Json part_json(const InspectedPart& part, const InspectOptions& options) {
  Json json = {{"name", part.part.name},     {"tensors", part.part.tensors.size()},
               {"values", part.numel()},     {"bytes", part.bytes()},
               {"dtypes", part.dtypes()},    {"network", part.guess.text},
               {"config", Json::object()},   {"path_key", part.guess.path_key},
               {"untold", part.guess.untold}};
  for (const auto& [key, value] : part.guess.keys) json["config"][key] = value;
  if (!part.nonfinite.empty()) {
    json["nan"] = part.all_nonfinite().nan;
    json["inf"] = part.all_nonfinite().inf;
  }
  if (!options.listing()) return json;
  json["entries"] = Json::array();
  for (size_t i = 0; i < part.part.tensors.size(); ++i) {
    if (full_name(part, part.part.tensors[i]).find(options.match) == std::string::npos) continue;
    json["entries"].push_back(tensor_json(part, i));
  }
  return json;
}

}  // namespace

std::string dtype_text(at::ScalarType dtype) {
  const std::string name = io::safetensors_dtype_name(dtype);
  return name.empty() ? c10::toString(dtype) : name;
}

int64_t InspectedPart::numel() const {
  int64_t count = 0;
  for (const io::StoredTensor& tensor : part.tensors) count += tensor.numel();
  return count;
}

int64_t InspectedPart::bytes() const {
  int64_t count = 0;
  for (const io::StoredTensor& tensor : part.tensors) count += tensor.bytes();
  return count;
}

std::string InspectedPart::dtypes() const {
  std::vector<std::string> names;
  for (const io::StoredTensor& tensor : part.tensors) {
    const std::string name = dtype_text(tensor.dtype);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return join(names);
}

NonFinite InspectedPart::all_nonfinite() const {
  NonFinite sum;
  for (const NonFinite& one : nonfinite) sum += one;
  return sum;
}

std::vector<InspectedPart> look_at(std::vector<io::WeightPart> parts) {
  std::vector<InspectedPart> looked_at;
  for (io::WeightPart& part : parts) {
    NetworkGuess guess = guess_network(part);
    looked_at.push_back({.part = std::move(part), .guess = std::move(guess)});
  }
  return looked_at;
}

void read_values(std::vector<InspectedPart>& parts) {
  int64_t all_bytes = 0;
  for (const InspectedPart& part : parts) all_bytes += part.bytes();
  ValueProgress progress(all_bytes);
  for (InspectedPart& part : parts) {
    for (const io::StoredTensor& tensor : part.part.tensors) {
      part.nonfinite.push_back(count_nonfinite(tensor.values()));
      progress.add(tensor.bytes());
    }
  }
}

void print_parts(const std::vector<InspectedPart>& parts, const InspectOptions& options) {
  print_table(parts);
  print_bad_tensors(parts);
  if (!options.values) print_line("  values were not read (--no-values)");
}

void print_tensors(const std::vector<InspectedPart>& parts, const InspectOptions& options,
                   bool unasked) {
  if (!unasked && !options.listing()) {
    print_line("  --tensors lists the names and shapes of all tensors, --match TEXT of some");
    return;
  }
  size_t shown = 0;
  for (const InspectedPart& part : parts) {
    for (const io::StoredTensor& tensor : part.part.tensors) {
      const std::string name = full_name(part, tensor);
      if (name.find(options.match) == std::string::npos) continue;
      std::printf("  %-64s %-6s %s\n", printable(name).c_str(), dtype_text(tensor.dtype).c_str(),
                  sizes_string(tensor.shape).c_str());
      ++shown;
    }
  }
  std::fflush(stdout);
  if (shown > 0 || options.match.empty()) return;
  fail("--match ", options.match, ": no tensor of ", options.path, " has this in its name");
}

nlohmann::ordered_json parts_json(const std::vector<InspectedPart>& parts,
                                  const InspectOptions& options) {
  Json json = Json::array();
  for (const InspectedPart& part : parts) json.push_back(part_json(part, options));
  return json;
}

void print_json(const nlohmann::ordered_json& json) {
  // Names in a torch file may be no UTF-8.
  print_line(json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
}

}  // namespace gear::cli
