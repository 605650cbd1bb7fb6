#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/inspect.h"
#include "cli/print.h"
#include "cli/value_progress.h"
#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "gear/core/text.h"
#include "gear/train/checkpoint.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMostShown = 20;  // without --tensors

using Tensors = std::map<std::string, io::StoredTensor>;

/// One side of the comparison: "PATH" or "PATH#PART".
struct Side {
  std::string text;
  Tensors tensors{};  // by name without wrappers, below "PART/" when the side has several parts
};

/// The parts of a weight file, or the groups of a checkpoint or of a run's newest one.
std::vector<io::WeightPart> parts_at(const fs::path& path, const InspectOptions& options) {
  if (!fs::exists(path)) {
    fail(path.string(),
         ": no such file or folder; expected a run folder, a checkpoint folder or a "
         "weight file, and behind it # and a part where one of several is meant");
  }
  const auto checkpoint = train::find_checkpoint(path);
  if (!checkpoint) return io::open_weight_file(path, {.check_values = options.values}).parts;
  std::vector<io::WeightPart> parts;
  for (const std::string& name : checkpoint->groups()) {
    parts.push_back({name, io::open_weight_file(checkpoint->group_path(name)).parts.at(0).tensors});
  }
  return parts;
}

/// The part that is meant; all of them when none is named.
std::vector<io::WeightPart> chosen(std::vector<io::WeightPart> parts, const std::string& name,
                                   const std::string& path) {
  if (name.empty()) return parts;
  std::vector<std::string> names;
  for (io::WeightPart& part : parts) {
    if (part.name == name) return {std::move(part)};
    names.push_back(part.name.empty() ? "none with a name" : part.name);
  }
  fail(path, ": has no part ", name, "; it has ", join(names));
}

Side open_side(const std::string& text, const InspectOptions& options) {
  // A path may hold a '#' of its own.
  const size_t hash = fs::exists(text) ? std::string::npos : text.rfind('#');
  const std::string path = text.substr(0, hash);
  const std::string part = hash == std::string::npos ? options.part : text.substr(hash + 1);
  const auto parts = chosen(parts_at(path, options), part, path);
  Side side{.text = text};
  for (const io::WeightPart& found : parts) {
    const std::string prefix = parts.size() == 1 ? "" : found.name + "/";
    for (const io::StoredTensor& tensor : found.tensors) {
      const std::string name = prefix + io::plain_weight_name(tensor.name);
      if (!side.tensors.emplace(name, tensor).second) {
        fail(text, ": ", tensor.name, " and another tensor are both ", name,
             " without the prefixes of torch.compile and data parallelism; save one of them alone");
      }
    }
  }
  return side;
}

/// What there is to say about one name of either side.
struct Finding {
  enum class Kind { kEqual, kValues, kDtype, kShape, kOnlyFirst, kOnlySecond };
  Kind kind = Kind::kEqual;
  std::string name;
  std::string text{};       // for people
  Difference difference{};  // of shared names of one shape
};

std::string type_and_shape(const io::StoredTensor& tensor) {
  return dtype_text(tensor.dtype) + " " + sizes_string(tensor.shape);
}

std::string amount(const Difference& difference) {
  char text[96];
  std::snprintf(text, sizeof text, "largest difference %.3g, relative L2 %.3g", difference.largest,
                difference.relative());
  return text;
}

Finding compare(const std::string& name, const io::StoredTensor& first,
                const io::StoredTensor& second, bool values) {
  using Kind = Finding::Kind;
  const std::string types = type_and_shape(first) + " and " + type_and_shape(second);
  if (first.shape != second.shape) return {Kind::kShape, name, types};
  Difference difference;
  if (values) difference = compare_values(first.values(), second.values());
  if (first.dtype != second.dtype) {
    return {Kind::kDtype, name, types + (values ? ", " + amount(difference) : ""), difference};
  }
  if (difference.same_bits) return {Kind::kEqual, name, "", difference};
  return {Kind::kValues, name, amount(difference), difference};
}

int64_t bytes_of(const Tensors& tensors) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += tensor.bytes();
  return bytes;
}

std::vector<Finding> compare_sides(const Side& first, const Side& second, bool values) {
  std::vector<Finding> findings;
  ValueProgress progress(bytes_of(first.tensors));
  for (const auto& [name, tensor] : first.tensors) {
    progress.add(tensor.bytes());
    const auto other = second.tensors.find(name);
    findings.push_back(other == second.tensors.end()
                           ? Finding{Finding::Kind::kOnlyFirst, name, type_and_shape(tensor)}
                           : compare(name, tensor, other->second, values));
  }
  for (const auto& [name, tensor] : second.tensors) {
    if (!first.tensors.contains(name)) {
      findings.push_back({Finding::Kind::kOnlySecond, name, type_and_shape(tensor)});
    }
  }
  return findings;
}

struct Section {
  Finding::Kind kind;
  const char* key;    // in JSON
  std::string title;  // for people
};

std::vector<Section> sections(const Side& first, const Side& second) {
  using Kind = Finding::Kind;
  return {{Kind::kOnlyFirst, "only_first", "only in " + first.text},
          {Kind::kOnlySecond, "only_second", "only in " + second.text},
          {Kind::kShape, "shape", "of another shape"},
          {Kind::kDtype, "dtype", "of another type"},
          {Kind::kValues, "values", "with other values"},
          {Kind::kEqual, "equal", "equal"}};
}

std::vector<Finding> of_kind(const std::vector<Finding>& findings, Finding::Kind kind) {
  std::vector<Finding> found;
  std::copy_if(findings.begin(), findings.end(), std::back_inserter(found),
               [&](const Finding& finding) { return finding.kind == kind; });
  return found;
}

/// The differences of all shared tensors together.
Difference total(const std::vector<Finding>& findings) {
  Difference sum;
  for (const Finding& finding : findings) sum += finding.difference;
  return sum;
}

void print_findings(const std::vector<Finding>& findings, const Side& first, const Side& second,
                    const InspectOptions& options) {
  for (const Section& section : sections(first, second)) {
    const auto found = of_kind(findings, section.kind);
    print_line(found.size(), " tensors ", section.title);
    if (section.kind == Finding::Kind::kEqual) continue;
    const size_t shown = options.tensors ? found.size() : std::min(kMostShown, found.size());
    for (size_t i = 0; i < shown; ++i)
      print_line("  ", printable(found[i].name), ": ", found[i].text);
    if (shown < found.size()) {
      print_line("  ... and ", found.size() - shown, " more (--tensors lists all)");
    }
  }
  if (options.values) {
    print_line("all shared tensors together: ", amount(total(findings)));
  } else {
    print_line("values were not compared (--no-values)");
  }
}

Json findings_json(const std::vector<Finding>& findings, const Side& first, const Side& second,
                   bool equal) {
  const Difference all = total(findings);
  Json json = {{"first", first.text},
               {"second", second.text},
               {"same", equal},
               {"largest", all.largest},
               {"relative_l2", all.relative()}};
  for (const Section& section : sections(first, second)) {
    json[section.key] = Json::array();
    for (const Finding& finding : of_kind(findings, section.kind)) {
      json[section.key].push_back({{"name", finding.name},
                                   {"text", finding.text},
                                   {"largest", finding.difference.largest},
                                   {"relative_l2", finding.difference.relative()}});
    }
  }
  return json;
}

}  // namespace

int inspect_difference(const std::string& first_path, const std::string& second_path,
                       const InspectOptions& options) {
  constexpr int kSame = 0, kDifferent = 1;
  const Side first = open_side(first_path, options);
  const Side second = open_side(second_path, options);
  const auto findings = compare_sides(first, second, options.values);
  const bool equal = of_kind(findings, Finding::Kind::kEqual).size() == findings.size();
  if (options.json) {
    print_json(findings_json(findings, first, second, equal));
  } else {
    print_findings(findings, first, second, options);
    print_line(equal ? "the same" : "different");
  }
  return equal ? kSame : kDifferent;
}

}  // namespace gear::cli
