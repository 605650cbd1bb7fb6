#include "gear/models/teachers/vit_teacher.h"

#include <ATen/core/grad_mode.h>

// B batch, P special tokens in front, N patches, D width

namespace gear::models {
namespace {

bool is_gain(const std::string& name, const Tensor& parameter) {
  return name.ends_with("gamma") || (parameter.dim() == 1 && name.ends_with("weight"));
}

}  // namespace

Tensor VitTeacher::encode(const Tensor& images_u8) {
  const at::NoGradGuard no_grad;
  const auto pixels = preprocess(images_u8);
  const auto tokens = shape_.layer < 0 ? final_tokens(hidden(pixels, shape_.depth))
                                       : hidden(pixels, shape_.layer);  // [B, P + N, D]
  return patch_tokens(tokens).to(at::kFloat);
}

void VitTeacher::expect_block(int64_t count) const {
  TORCH_CHECK(count >= 0 && count <= shape_.depth, name(), ": no block ", count);
}

void VitTeacher::initialize_randomly() {
  const at::NoGradGuard no_grad;
  for (auto& item : named_parameters()) {
    Tensor parameter = item.value();
    if (is_gain(item.key(), parameter)) {
      parameter.fill_(1.0);
    } else if (item.key().ends_with("bias")) {
      parameter.zero_();
    } else {
      parameter.normal_(0.0, 0.02);
    }
  }
}

}  // namespace gear::models
