#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/signbit.h>

#include <fstream>
#include <set>

#include "gear/core/error.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"
#include "gear/io/weights.h"
#include "golden_runner/golden_case.h"
#include "io/peak_memory.h"
#include "io/says_what_to_do.h"

namespace gear::golden {
namespace {

namespace fs = std::filesystem;

constexpr double kMaxGrowthMib = 256.0;  // the largest malformed file has half a MiB

/// Same dtype, shape and bits; two NaNs agree whatever their payload.
bool identical(const at::Tensor& found, const at::Tensor& expected) {
  if (found.scalar_type() != expected.scalar_type() || found.sizes() != expected.sizes()) {
    return false;
  }
  if (!found.is_floating_point()) return at::equal(found, expected);
  const auto a = found.to(at::kDouble);  // exact for every type of the case
  const auto b = expected.to(at::kDouble);
  const auto same = a.nan_to_num(0, INFINITY, -INFINITY) == b.nan_to_num(0, INFINITY, -INFINITY);
  return same.all().item<bool>() && at::equal(a.isnan(), b.isnan()) &&
         at::equal(a.signbit(), b.signbit());
}

/// Entries of expected.safetensors that begin with `prefix`, without it.
Tensors expected_under(const Tensors& expected, const std::string& prefix) {
  Tensors part;
  for (auto it = expected.lower_bound(prefix);
       it != expected.end() && it->first.starts_with(prefix); ++it) {
    part[it->first.substr(prefix.size())] = it->second;
  }
  return part;
}

void compare(const std::string& label, const Tensors& found, const Tensors& expected,
             Report& report) {
  for (const auto& [name, tensor] : expected) {
    const auto it = found.find(name);
    report.expect(label + name, it != found.end() && identical(it->second, tensor));
  }
  for (const auto& [name, tensor] : found) {
    if (!expected.contains(name)) report.expect(label + name + " is not expected and", false);
  }
}

Tensors everything_in(const fs::path& path) {
  Tensors tensors;
  if (io::TorchArchive::recognises(*io::MappedFile::open(path))) {
    const io::TorchArchive archive(path);
    for (auto& [name, tensor] : io::collect_tensors(archive.root())) {
      tensors[name] = tensor->values();
    }
    return tensors;
  }
  const io::SafetensorsFile file(path);
  for (const auto& name : file.names()) tensors[name] = file.tensor(name);
  return tensors;
}

/// An index gives what its shards hold under the names that it lists.
void check_index(const fs::path& path, const Tensors& expected, Report& report) {
  const std::string name = path.filename().string();
  std::ifstream stream(path);
  const auto index = nlohmann::json::parse(stream);
  Tensors whole;
  for (const auto& [key, shard] : index.at("weight_map").items()) {
    const auto found = expected.find(shard.get<std::string>() + "//" + key);
    report.expect(name + ": " + key + " is expected of its shard", found != expected.end());
    if (found != expected.end()) whole[key] = found->second;
  }
  compare(name + "//", io::load_tensors(path), whole, report);
}

void check_good_file(const fs::path& path, const Tensors& expected, const nlohmann::json& counts,
                     Report& report) {
  const std::string name = path.filename().string();
  if (name.ends_with(".json")) return check_index(path, expected, report);
  int64_t compared = 0;
  const auto compare_part = [&](const std::string& prefix, const Tensors& found) {
    const auto part = expected_under(expected, prefix);
    compare(prefix, found, part, report);
    compared += static_cast<int64_t>(part.size());
  };
  compare_part(name + "//", everything_in(path));
  for (const bool ema : {false, true}) {
    const std::string prefix = name + (ema ? "#tokenizer_ema/" : "#tokenizer/");
    if (expected_under(expected, prefix).empty()) continue;
    compare_part(prefix, io::load_tensors(path, io::tokenizer_sections(ema)));
  }
  report.expect(name + ": as many tensors as case.json counts",
                compared == counts.value(name, int64_t{0}));
}

/// What reading `path` ends with: the sentence of its Error, or "" when it loads.
std::string sentence_of(const fs::path& path, Tensors& loaded) {
  try {
    loaded = io::load_tensors(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// Of a file that may load: `why` says what it must then hold, if anything.
void check_loaded(const std::string& name, const std::string& why, const Tensors& loaded,
                  Report& report) {
  if (why.find("0..9") == std::string::npos) return;
  for (const auto& [key, tensor] : loaded) {
    report.expect(name + ": " + key + " holds 0..9",
                  at::equal(tensor.to(at::kDouble), at::arange(10, at::kDouble)));
  }
}

void check_malformed_file(const fs::path& path, const nlohmann::json& json, Report& report) {
  const std::string name = path.filename().string();
  const auto must_refuse = json.at("must_refuse").get<std::set<std::string>>();
  Tensors loaded;
  const io::PeakMemory memory;
  const std::string sentence = sentence_of(path, loaded);
  report.within("MiB taken for " + name, memory.growth_mib(), kMaxGrowthMib);
  if (sentence.empty()) {
    report.expect(name + " is refused", !must_refuse.contains(name));
    const auto& facts = json.at("malformed");
    check_loaded(name, facts.contains(name) ? facts[name].value("why", "") : "", loaded, report);
    return;
  }
  report.expect(name + " is refused in one line that names it and says what to do",
                sentence.find(name) != std::string::npos &&
                    sentence.find('\n') == std::string::npos && io::says_what_to_do(sentence));
}

}  // namespace

Outcome check_checkpoints(const Case& golden, Report& report) {
  const auto& json = golden.json();
  Tensors expected = everything_in(golden.folder() / "expected.safetensors");
  std::set<std::string> seen;
  for (const auto& entry : fs::directory_iterator(golden.folder() / "good")) {
    check_good_file(entry.path(), expected, json.at("good"), report);
    seen.insert(entry.path().filename().string());
  }
  for (const auto& [name, count] : json.at("good").items()) {
    report.expect(name + " is there", seen.contains(name));
  }

  for (const auto& entry : fs::directory_iterator(golden.folder() / "malformed")) {
    check_malformed_file(entry.path(), json, report);
  }
  return {};
}

}  // namespace gear::golden
