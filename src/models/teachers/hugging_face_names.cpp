#include "models/teachers/hugging_face_names.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include <string>
#include <string_view>

#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "models/teachers/encoder_files.h"

// D width

namespace gear::models {
namespace {

constexpr size_t kKey = 1;

/// One of q, k and v, called `name` in the file, beside q.
void expect_like_query(const std::string& name, const at::Tensor& part, const at::Tensor& query) {
  if (query.dim() == 0) fail(name, ": expected a matrix or a vector, got one number", kDamagedFile);
  if (part.sizes() == query.sizes()) return;
  fail(name, ": expected the shape of the query, ", sizes_string(query.sizes()), ", got ",
       sizes_string(part.sizes()), kDamagedFile);
}

/// `name` with its beginning replaced by the first entry that fits; "" when none does.
std::string renamed(const std::string& name, const std::vector<HuggingFaceNames::Renaming>& table) {
  for (const auto& [from, to] : table) {
    if (name.starts_with(from)) return to + name.substr(std::string_view(from).size());
  }
  return "";
}

/// Translates the tensors of one file.
class Translation {
 public:
  Translation(const io::TensorMap& tensors, const HuggingFaceNames& names)
      : tensors_(tensors), names_(names) {}

  io::TensorMap run() {
    for (const auto& [name, tensor] : tensors_) {
      if (!name.starts_with(names_.blocks)) {
        add(renamed(name, names_.outside), tensor);
        continue;
      }
      const size_t dot = name.find('.', std::string_view(names_.blocks).size());
      if (dot != std::string::npos) add_of_block(name, dot + 1);
    }
    return std::move(official_);
  }

 private:
  void add(const std::string& official, const at::Tensor& tensor) {
    if (!official.empty()) official_[official] = tensor;
  }

  /// `name` is that of a tensor of a block, "encoder.layer.{i}." takes its first `start` letters.
  void add_of_block(const std::string& name, size_t start) {
    const std::string block = name.substr(0, start);
    const std::string inner = name.substr(start);
    const std::string official =
        names_.official_blocks + block.substr(std::string_view(names_.blocks).size());
    const std::string_view query = names_.qkv[0];
    if (inner.starts_with(query)) {  // key and value come along
      const std::string suffix = inner.substr(query.size());
      add(official + names_.joined_qkv + suffix, joined(block, suffix));
    } else if (const std::string rest = renamed(inner, names_.inside); !rest.empty()) {
      add(official + rest, tensors_.at(name));
    }
  }

  /// Rows of q, k and v in the order of the fused projection: three [D, ...] -> [3 D, ...].
  at::Tensor joined(const std::string& block, const std::string& suffix) const {
    std::vector<at::Tensor> parts;
    for (size_t i = 0; i < names_.qkv.size(); ++i) {
      const std::string name = block + names_.qkv[i] + suffix;
      if (const auto found = tensors_.find(name); found != tensors_.end()) {
        parts.push_back(found->second);
        expect_like_query(name, parts.back(), parts.front());
      } else if (i == kKey && suffix == "bias" && !names_.key_has_bias) {
        parts.push_back(at::zeros_like(parts[0]));
      } else {
        fail("lacks ", name, kDamagedFile);
      }
    }
    return at::cat(parts, 0);
  }

  const io::TensorMap& tensors_;
  const HuggingFaceNames& names_;
  io::TensorMap official_;
};

}  // namespace

io::TensorMap official_names(const io::TensorMap& tensors, const HuggingFaceNames& names) {
  return Translation(tensors, names).run();
}

}  // namespace gear::models
