#include "gear/train/stored_indices.h"

#include <map>

#include "gear/core/error.h"
#include "gear/io/hash.h"
#include "gear/nn/gate.h"

namespace gear::train {
namespace {

std::string place(const data::IndexSet& indices) {
  return "data.indices: " + indices.path().string() + ": ";
}

std::string_view bytes_of(const Tensor& contiguous) {
  return {static_cast<const char*>(contiguous.const_data_ptr()), contiguous.nbytes()};
}

std::string line_of(const Tensor& tensor) {
  const Tensor values = tensor.detach().cpu().to(at::kFloat).contiguous();
  return sizes_string(values.sizes()) + " " + io::sha256_of_bytes(bytes_of(values));
}

/// A line for each parameter and buffer by name, of one block after the other.
void add_lines(const torch::nn::Module& module, const std::string& prefix,
               std::map<std::string, std::string>& lines) {
  const nn::WholeScope whole(module);
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    lines[prefix + item.key()] = line_of(item.value());
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    lines[prefix + item.key()] = line_of(item.value());
  }
  for (const auto& child : module.named_children()) {
    add_lines(*child.value(), prefix + child.key() + ".", lines);
  }
}

}  // namespace

std::string tokenizer_sha256(const models::Tokenizer& tokenizer) {
  std::map<std::string, std::string> lines;
  add_lines(tokenizer, "", lines);
  std::string text;
  for (const auto& [name, line] : lines) text.append(name).append(" ").append(line).append("\n");
  return io::sha256_of_bytes(text);
}

void expect_indices_fit(const data::IndexSet& indices, const RunConfig& config) {
  const data::IndexInfo& info = indices.info();
  const auto expect = [&](int64_t found, int64_t expected, const char* what, const char* key) {
    if (found == expected) return;
    fail(place(indices), "has ", what, " ", found, ", but ", key, " is ", expected,
         "; encode the pictures with the tokenizer and picture size of this configuration, or set "
         "them to those of the indices");
  };
  expect(info.codebook_size, config.tokenizer.quantizer.codebook_size, "indices of a codebook of",
         "tokenizer.quantizer.codebook_size");
  expect(info.image_size, config.data.image_size, "pictures of size", "data.image_size");
  expect(info.grid, config.grid(), "tokens per side:", "data.image_size / tokenizer downsampling");
}

void expect_indices_of(const data::IndexSet& indices, const models::Tokenizer& tokenizer) {
  constexpr size_t kDigitsShown = 12;
  const std::string& made_by = indices.info().tokenizer_sha256;
  const std::string found = tokenizer_sha256(tokenizer);
  if (found == made_by) return;
  fail(place(indices), "was encoded by other weights (", made_by.substr(0, kDigitsShown),
       "...) than those of this run's tokenizer (", found.substr(0, kDigitsShown),
       "...); encode the pictures again, or set init.tokenizer to the weights that encoded them");
}

}  // namespace gear::train
