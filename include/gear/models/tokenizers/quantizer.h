#pragma once

#include <torch/nn/module.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "gear/config/config.h"
#include "gear/core/tensor.h"
#include "gear/dist/world.h"
#include "gear/ops/readout.h"

// B batch, h w token grid, T = B * h * w tokens in (batch, row, column) order, K codes, D width
//
// Grouped LFQ has an id for each of its G groups of bits: read T as T * G rows in (token, group)
// order and K as the 2^(D / G) codes of a group.

namespace gear::models {

enum class QuantizerKind { kVq, kLfq, kGlfq, kIbq, kFsq, kSimVq };

/// Codebook and its loss weights.
struct QuantizerConfig {
  QuantizerKind kind = QuantizerKind::kVq;
  int64_t codebook_size = 16384;
  int64_t codebook_dim = 8;
  int64_t groups = 1;
  std::vector<int64_t> levels = {};
  bool l2_norm = true;
  bool cosine = false;
  double commit_weight = 0.25;
  double entropy_ratio = 0.05;
  double entropy_temperature = 0.01;

  template <class Visitor>
  void fields(Visitor& v) {
    v("kind", kind,
      "Family. vq: nearest code; lfq: one bit per channel; glfq: the same in groups of bits; ibq: "
      "index back-propagation; fsq: rounded channels; simvq: codes of one trained linear layer.");
    v("codebook_size", codebook_size,
      "Number of codes K; 2^codebook_dim for lfq and glfq, the product of levels for fsq.",
      config::in_range(2, 4294967296));
    v("codebook_dim", codebook_dim, "Width of a code.", config::in_range(1, 65536));
    v("groups", groups, "Groups of bits, each with an id of its own (glfq).",
      config::in_range(1, 64));
    v("levels", levels, "Number of values of each channel (fsq).", config::in_range(2, 256));
    v("l2_norm", l2_norm, "Compare latents and codes on the unit sphere (vq).");
    v("cosine", cosine, "Compare the directions of latents and codes (ibq).");
    v("commit_weight", commit_weight,
      "Weight beta of the commitment loss (ibq: of the loss that moves the codes).",
      config::at_least(0));
    v("entropy_ratio", entropy_ratio, "Weight r_e of sample entropy minus average entropy.",
      config::at_least(0));
    v("entropy_temperature", entropy_temperature, "Softmax temperature of the entropy loss.",
      config::greater_than(0));
  }
  /// What a family wants of the other fields.
  void check(const config::Where& at) const;

  /// Values that an id takes: K, or for glfq the codes of one group.
  int64_t num_ids() const;
};

/// Scalar loss terms on the graph, already multiplied by their own weights (commit_weight,
/// entropy_ratio); the entropies are for the log. Defined in train mode only, and a term that
/// the family does not have is never defined.
struct QuantizerLosses {
  Tensor codebook;
  Tensor commit;
  Tensor entropy;
  Tensor sample_entropy;
  Tensor average_entropy;
  Tensor average_entropy_unbiased;

  /// Sum of the codebook, commitment and entropy terms.
  Tensor total() const;
};

struct Quantized {
  Tensor z_q;        // [B, D, h, w], what the decoder sees; carries the straight-through graph
  Tensor ids;        // [T] int64, the hard read-out
  ops::Costs costs;  // of [T, K], float32 on the graph; ids = argmin over K
  QuantizerLosses losses;  // undefined tensors in eval mode
};

/// Maps latents to codes. One contract serves every family; recipes do not know which one they
/// train. Distances and softmax are always float32, whatever autocast says (spec 08, quirk 2).
class Quantizer : public torch::nn::Module {
 public:
  explicit Quantizer(const QuantizerConfig& config) : config_(config) {}

  /// z [B, D, h, w] any float type.
  virtual Quantized forward(const Tensor& z) = 0;
  /// The hard read-out alone, ids [T] of z [B, D, h, w]: no graph, and no [T, K] matrix at any
  /// time.
  virtual Tensor nearest_ids(const Tensor& z) = 0;
  /// Code vectors for decoding: ids [T] -> [T, D].
  virtual Tensor lookup(const Tensor& ids) = 0;
  /// Names of stored tensors that training never changes; a moving average must leave them alone.
  virtual std::vector<std::string> constants() const { return {}; }

  /// Ranks over whose tokens the entropy term takes the average distribution.
  void set_world(dist::World world) { world_ = std::move(world); }

  const QuantizerConfig& config() const { return config_; }

 protected:
  QuantizerConfig config_;
  dist::World world_;
};

std::shared_ptr<Quantizer> make_quantizer(const QuantizerConfig& config);

}  // namespace gear::models

template <>
struct gear::config::EnumNames<gear::models::QuantizerKind> {
  static constexpr std::array<const char*, 6> value = {"vq", "lfq", "glfq", "ibq", "fsq", "simvq"};
};
