#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ops/cpu/group_norm_loops.h"
#include "ops/group_norm_algebra.h"
#include "ops/group_norm_kernels.h"

// B images, C channels in G groups, N pixels, F: the type computed in
// Values by channel that the loops of group_norm_loops.h read.

namespace gear::ops::cpu {

/// One call, seen by channel: i = b * C + c counts the channels of all images.
template <class F>
class GroupNormChannels {
 public:
  GroupNormChannels(const GroupNormCall& call, const GroupNormMoments& moments)
      : channels(call.x.size(1)),
        count(call.x.size(0) * channels),
        per_group(channels / call.options.groups),
        group_size(static_cast<double>(per_group * call.x.size(2) * call.x.size(3))),
        mean_(moments.mean.const_data_ptr<double>()),
        rstd_(moments.rstd.const_data_ptr<double>()),
        weight_(call.weight.defined() ? call.weight.const_data_ptr<F>() : nullptr),
        bias_(call.bias.defined() ? call.bias.const_data_ptr<F>() : nullptr) {}

  GroupMoments moments(int64_t i) const { return {mean_[i / per_group], rstd_[i / per_group]}; }
  double weight(int64_t i) const { return weight_ ? weight_[i % channels] : 1.0; }
  double bias(int64_t i) const { return bias_ ? bias_[i % channels] : 0.0; }

  const int64_t channels, count, per_group;
  const double group_size;

 private:
  const double *mean_, *rstd_;  // [B, G]
  const F *weight_, *bias_;     // [C] or null
};

template <class F>
class AffineTable {
 public:
  explicit AffineTable(const GroupNormChannels<F>& call)
      : channels_(call.channels), centre_(call.count), scale_(call.count), shift_(call.count) {
    for (int64_t i = 0; i < call.count; ++i) {
      const auto affine = channel_affine<F>(call.moments(i), call.weight(i), call.bias(i));
      centre_[i] = affine.centre;
      scale_[i] = affine.scale;
      shift_[i] = affine.shift;
    }
  }
  Affine<F> of_image(int64_t b) const {
    return {&centre_[b * channels_], &scale_[b * channels_], &shift_[b * channels_]};
  }

 private:
  int64_t channels_;
  std::vector<F> centre_, scale_, shift_;  // [B, C]
};

template <class F>
class CorrectionTable {
 public:
  /// From the sums by channel of g and of g * (x - centre), [B, C] each.
  CorrectionTable(const GroupNormChannels<F>& call, const double* sums, const double* products)
      : channels_(call.channels), offset_(call.count), slope_(call.count) {
    for (int64_t begin = 0; begin < call.count; begin += call.per_group) {
      double sum = 0.0, product = 0.0;
      for (int64_t i = begin; i < begin + call.per_group; ++i) {
        sum += call.weight(i) * sums[i];
        product += call.weight(i) * products[i];
      }
      const auto correction =
          group_correction<F>(call.moments(begin), sum, product, call.group_size);
      std::fill_n(&offset_[begin], call.per_group, correction.offset);
      std::fill_n(&slope_[begin], call.per_group, correction.slope);
    }
  }
  Line<F> of_image(int64_t b) const { return {&offset_[b * channels_], &slope_[b * channels_]}; }

 private:
  int64_t channels_;
  std::vector<F> offset_, slope_;  // [B, C]
};

}  // namespace gear::ops::cpu
