#pragma once

#include "gear/models/teachers/teacher.h"

// B batch, S image side, P special tokens in front, N patches, D width

namespace gear::models {

/// What the encoders of this folder share: a stack of blocks that stops where the features are
/// taken. Subclasses hold the network.
class VitTeacher : public Teacher {
 public:
  /// Stops at the chosen block; layer -1 means final_tokens of the last one.
  Tensor encode(const Tensor& images_u8) final;
  int64_t feature_dim() const final { return shape_.dim; }
  int64_t depth() const { return shape_.depth; }

  /// uint8 [B, 3, S, S] -> float32 pixels as the network takes them.
  virtual Tensor preprocess(const Tensor& images_u8) const = 0;

  /// Output of the first `count` blocks for preprocessed pixels, before any final norm:
  /// [B, P + N, D].
  virtual Tensor hidden(const Tensor& pixels, int64_t count) = 0;

  /// The encoder's own output for that of its last block: [B, P + N, D], same out.
  virtual Tensor final_tokens(const Tensor& tokens) = 0;

  /// Drops class token and registers: [B, P + N, D] -> [B, N, D].
  Tensor patch_tokens(const Tensor& tokens) const { return tokens.slice(1, shape_.special); }

  /// Weights N(0, 0.02), biases 0, gains 1, from the default generator.
  void initialize_randomly();

 protected:
  struct Shape {
    int64_t dim, depth;
    int64_t special;  ///< tokens in front of the patches
    int64_t layer;    ///< what encode returns: -1 final_tokens, n output of block n
  };
  explicit VitTeacher(const Shape& shape) : shape_(shape) {}

  void expect_block(int64_t count) const;  // 0 ... depth

 private:
  Shape shape_;
};

}  // namespace gear::models
