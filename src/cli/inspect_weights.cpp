#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/file_kind.h"
#include "cli/inspect.h"
#include "cli/print.h"
#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/io/hash.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// A weight file with at most so many tensors lists them without being asked.
constexpr size_t kMostListedUnasked = 500;

struct InspectedFile {
  io::WeightFile file;
  std::string kind{};
  std::vector<InspectedPart> parts{};

  /// All parts as one, for sums.
  InspectedPart whole() const {
    InspectedPart all;
    for (const InspectedPart& part : parts) {
      all.part.tensors.insert(all.part.tensors.end(), part.part.tensors.begin(),
                              part.part.tensors.end());
    }
    return all;
  }
};

/// Leaves the part that --part names. Throws Error naming those there are.
void keep_part(std::vector<InspectedPart>& parts, const InspectOptions& options) {
  std::vector<std::string> names;
  for (const InspectedPart& part : parts) names.push_back(part.part.name);
  std::erase_if(parts, [&](const InspectedPart& part) { return part.part.name != options.part; });
  if (parts.empty()) {
    fail("--part ", options.part, ": ", options.path, " has no such part; it has ", join(names));
  }
}

InspectedFile look_at_file(const InspectOptions& options) {
  InspectedFile result{.file =
                           io::open_weight_file(options.path, {.check_values = options.values})};
  result.parts = look_at(std::move(result.file.parts));
  result.kind = file_kind(result.file, result.parts);
  if (!options.part.empty()) keep_part(result.parts, options);
  if (options.values) read_values(result.parts);
  return result;
}

/// What a key that takes weights would be given for this part.
std::string path_of(const InspectedPart& part, const InspectOptions& options) {
  const fs::path folder = fs::path(options.path) / part.part.name;
  return !part.part.name.empty() && fs::is_directory(folder) ? folder.string() : options.path;
}

/// The keys of the configuration with which gear would read the file, each once.
void print_keys(const InspectedFile& file, const InspectOptions& options) {
  std::set<std::string> printed;
  const auto print_once = [&](const std::string& line) {
    if (printed.empty()) print_line("  keys of the configuration that fit");
    if (printed.insert(line).second) print_line("    ", line);
  };
  for (const InspectedPart& part : file.parts) {
    for (const auto& [key, value] : part.guess.keys) print_once(key + ": " + value);
    if (!part.guess.path_key.empty()) {
      print_once(part.guess.path_key + ": " + path_of(part, options));
    }
    if (!part.guess.untold.empty()) print_once("not told by the file: " + part.guess.untold);
  }
}

/// A value of any file in one line of the terminal.
std::string one_line(const std::string& text) {
  constexpr size_t kMostBytes = 160;
  if (text.size() <= kMostBytes) return printable(text);
  size_t end = kMostBytes;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;  // within a character of UTF-8
  return printable(text.substr(0, end)) + "...";
}

void print_facts(const io::Facts& facts, const std::string& prefix, const InspectOptions& options) {
  constexpr size_t kMostUnasked = 40;
  const size_t shown = options.verbose ? facts.size() : std::min(kMostUnasked, facts.size());
  for (size_t i = 0; i < shown; ++i) {
    print_line("  ", prefix, one_line(facts[i].first), ": ", one_line(facts[i].second));
  }
  if (shown < facts.size()) {
    print_line("  ... and ", facts.size() - shown, " more, --verbose lists them");
  }
}

void print_provenance(const InspectedFile& file, const InspectOptions& options) {
  for (const fs::path& path : file.file.files) {
    print_line("  file ", printable(path.string()), ": ",
               format_count(static_cast<int64_t>(fs::file_size(path))), " bytes",
               options.hash ? ", SHA-256 " + io::sha256_of_file(path) : "");
  }
  print_facts(file.file.facts, "", options);
  for (const auto& [name, entries] : file.file.settings) {
    if (options.verbose) {
      print_facts(entries, one_line(name) + ".", options);
    } else {
      print_line("  ", one_line(name), ": ", entries.size(), " entries, --verbose lists them");
    }
  }
}

Json facts_json(const io::Facts& facts) {
  Json json = Json::object();
  for (const auto& [name, value] : facts) json[name] = value;
  return json;
}

Json files_json(const InspectedFile& file, const InspectOptions& options) {
  Json json = Json::array();
  for (const fs::path& path : file.file.files) {
    json.push_back({{"path", path.string()}, {"bytes", fs::file_size(path)}});
    if (options.hash) json.back()["sha256"] = io::sha256_of_file(path);
  }
  return json;
}

Json file_json(const InspectedFile& file, const InspectOptions& options) {
  const InspectedPart whole = file.whole();
  Json json = {{"path", options.path},
               {"files", files_json(file, options)},
               {"format", file.file.format},
               {"kind", file.kind},
               {"tensors", whole.part.tensors.size()},
               {"values", whole.numel()},
               {"facts", facts_json(file.file.facts)}};
  for (const auto& [name, entries] : file.file.settings) {
    json["settings"][name] = facts_json(entries);
  }
  json["parts"] = parts_json(file.parts, options);
  return json;
}

void print_file(const InspectedFile& file, const InspectOptions& options) {
  const InspectedPart whole = file.whole();
  print_line(printable(options.path), ": ", file.file.format, ", ", whole.part.tensors.size(),
             " tensors, ", format_count(whole.numel()), " values (", whole.dtypes(), "), ",
             format_bytes(static_cast<double>(whole.bytes())));
  print_line("  kind: ", file.kind);
  print_parts(file.parts, options);
  print_keys(file, options);
  print_provenance(file, options);
  print_tensors(file.parts, options, whole.part.tensors.size() <= kMostListedUnasked);
}

}  // namespace

void inspect_weights(const InspectOptions& options) {
  const InspectedFile file = look_at_file(options);
  if (options.json) {
    print_json(file_json(file, options));
  } else {
    print_file(file, options);
  }
}

}  // namespace gear::cli
