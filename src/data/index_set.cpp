#include "gear/data/index_set.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <system_error>

#include "gear/core/error.h"
#include "gear/io/hash.h"

namespace gear::data {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> index_files(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    if (fs::exists(path, error)) return {path};
    fail(path.string(), ": there is no such file or folder of indices; make it with gear encode");
  }
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".safetensors") paths.push_back(entry.path());
  }
  if (paths.empty()) {
    fail(path.string(), ": holds no *.safetensors; expected a folder that gear encode wrote");
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

IndexSet::IndexSet(fs::path path) : path_(std::move(path)), paths_(index_files(path_)) {
  std::string names;
  starts_.push_back(0);
  for (const fs::path& file : paths_) {
    files_.push_back(read_index_file(file));
    IndexFile& last = files_.back();
    for (const std::string& name : last.names) names.append(name).append("\n");
    last.names = {};
    starts_.push_back(starts_.back() + last.labels.size(0));
  }
  expect_whole();
  names_sha256_ = io::sha256_of_bytes(names);
}

void IndexSet::expect_whole() const {
  for (size_t i = 0; i < files_.size(); ++i) {
    if (files_[i].info == info()) continue;
    fail(paths_[i].string(), ": belongs to another set than ", paths_[0].filename().string(),
         " beside it; keep the files of each set in a folder of their own");
  }
  size_t whole = 0;
  while (whole < files_.size() && files_[whole].number == static_cast<int64_t>(whole)) ++whole;
  if (static_cast<int64_t>(whole) == info().files) return;
  fail(path_.string(), ": file ", whole, " of ", info().files, " (counted from 0) is not there; ",
       fs::is_directory(path_) ? "run the same gear encode again, it writes what is missing"
                               : "name the folder that holds them all");
}

size_t IndexSet::file_of(int64_t sample) const {
  const auto next = std::upper_bound(starts_.begin(), starts_.end(), sample);
  TORCH_CHECK(sample >= 0 && next != starts_.end(), "IndexSet: no sample ", sample);
  return static_cast<size_t>(next - starts_.begin()) - 1;
}

int64_t IndexSet::label(int64_t sample) const {
  const size_t file = file_of(sample);
  return files_[file].labels.const_data_ptr<int64_t>()[sample - starts_[file]];
}

Tensor IndexSet::tokens(const std::vector<int64_t>& samples,
                        const std::vector<bool>& mirrored) const {
  const auto count = static_cast<int64_t>(samples.size());
  const Tensor tokens = at::empty({count, info().grid * info().grid}, at::kLong);  // [B, N]
  for (int64_t i = 0; i < count; ++i) {
    const int64_t sample = samples[static_cast<size_t>(i)];
    const size_t file = file_of(sample);
    const bool mirror = mirrored[static_cast<size_t>(i)];
    TORCH_CHECK(!mirror || info().mirrored, "IndexSet: no mirrored pictures are there");
    const Tensor& source = mirror ? files_[file].mirrored : files_[file].indices;
    const Tensor row = tokens[i];
    row.copy_(source[sample - starts_[file]]);
    const auto least = row.min().item<int64_t>();
    const auto most = row.max().item<int64_t>();
    if (least >= 0 && most < info().codebook_size) continue;
    fail(paths_[file].string(), ": ", mirror ? "mirrored_indices" : "indices", " of picture ",
         sample - starts_[file], " hold ", least < 0 ? least : most,
         ", which is no code of a codebook of ", info().codebook_size,
         "; the file is damaged, encode the pictures again");
  }
  return tokens;
}

}  // namespace gear::data
