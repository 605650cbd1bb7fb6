#pragma once

#include <memory>

#include "gear/models/tokenizers/tokenizer.h"

// B batch, h w token grid

namespace gear::golden {

/// Stands for the frozen tokenizer of a case that gives its codes instead of images and weights:
/// the "images" are the codes, float [B, 1, h, w].
class GivenCodes final : public models::Tokenizer {
 public:
  explicit GivenCodes(const models::TokenizerConfig& config);

  models::Tokenized forward(const at::Tensor& codes) override;
  at::Tensor encode(const at::Tensor& codes) override { return codes; }
  at::Tensor decode(const at::Tensor& codes) override { return codes; }
  models::Quantizer& quantizer() override { return *quantizer_; }
  const models::TokenizerConfig& config() const override { return config_; }

 private:
  models::TokenizerConfig config_;
  std::shared_ptr<models::Quantizer> quantizer_;
};

}  // namespace gear::golden
