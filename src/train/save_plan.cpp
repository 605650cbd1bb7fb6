#include "train/save_plan.h"

#include <c10/util/accumulate.h>

#include <algorithm>
#include <utility>

namespace gear::train {
namespace {

/// Where two ranks meet in a file: what one writes is then no part of a page or block that another
/// writes too. It is a multiple of every element size, so no element is cut either.
constexpr uint64_t kBoundary = 4096;
/// Longer stretches become several parts, which several ranks can verify.
constexpr uint64_t kMostPartBytes = uint64_t{64} << 20;

/// Elements that this rank holds, at their place in the file.
struct Held {
  uint64_t begin = 0;  // byte of the file
  uint64_t end = 0;
  Tensor tensor;
  bool is_piece = false;
};

Held held_elements(const TensorGroup& group, const std::string& name, const Tensor& tensor,
                   uint64_t tensor_begin) {
  const auto shard = group.shards.find(name);
  if (shard == group.shards.end()) {
    return {tensor_begin, tensor_begin + tensor.nbytes(), tensor, /*is_piece=*/false};
  }
  const int64_t whole = c10::multiply_integers(shard->second.shape);
  const int64_t first = shard->second.offset;
  TORCH_CHECK(tensor.dim() == 1 && first >= 0 && first + tensor.numel() <= whole,
              "plan_save: ", group.name, ": ", name, " of ", tensor.sizes(), " from element ",
              first, " is no piece of ", at::IntArrayRef(shard->second.shape));
  const uint64_t begin = tensor_begin + static_cast<uint64_t>(first) * tensor.element_size();
  return {begin, begin + tensor.nbytes(), tensor, /*is_piece=*/true};
}

/// What this rank holds of a file, by rising offset.
std::vector<Held> everything_held(const TensorGroup& group, const io::SafetensorsLayout& layout) {
  std::vector<Held> all;
  for (size_t i = 0; i < group.tensors.size(); ++i) {
    const auto& [name, tensor] = group.tensors[i];
    Held held = held_elements(group, name, tensor, layout.begins[i]);
    if (held.begin < held.end) all.push_back(std::move(held));
  }
  std::sort(all.begin(), all.end(), [](const Held& a, const Held& b) { return a.begin < b.begin; });
  return all;
}

struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// The share of one of `count` holders in a range that all of them hold.
Range share_of(const Range& range, int64_t index, int64_t count) {
  const auto cut = [&](int64_t before) {
    if (before == 0) return range.begin;
    if (before == count) return range.end;
    const uint64_t each = (range.end - range.begin) / static_cast<uint64_t>(count);
    const uint64_t place = range.begin + each * static_cast<uint64_t>(before);
    return std::max(range.begin, place / kBoundary * kBoundary);
  };
  return {cut(index), cut(index + 1)};
}

/// The elements of `held` within the range.
PlannedPart part_over(const Range& range, const Held* first, const Held* last) {
  PlannedPart part{.offset = range.begin, .bytes = range.end - range.begin, .segments = {}};
  for (const Held* held = first; held != last; ++held) {
    const uint64_t begin = std::max(range.begin, held->begin);
    const uint64_t end = std::min(range.end, held->end);
    if (begin >= end) continue;
    const uint64_t size = held->tensor.element_size();
    part.segments.push_back({held->tensor, static_cast<int64_t>((begin - held->begin) / size),
                             static_cast<int64_t>((end - held->begin) / size)});
  }
  return part;
}

std::vector<PlannedPart> parts_of(const std::vector<Held>& all, const SaveLayout& layout) {
  std::vector<PlannedPart> parts;
  for (const Held* first = all.data(); first != all.data() + all.size();) {
    const Held* last = first + 1;  // what follows without a gap and is held by the same ranks
    while (last != all.data() + all.size() && last->begin == (last - 1)->end &&
           last->is_piece == first->is_piece) {
      ++last;
    }
    const Range run{first->begin, (last - 1)->end};
    Range own = first->is_piece ? share_of(run, layout.replica, layout.replicas)
                                : share_of(run, layout.world.rank(), layout.world.size());
    for (; own.begin < own.end; own.begin += kMostPartBytes) {
      const uint64_t end = std::min(own.end, own.begin + kMostPartBytes);
      parts.push_back(part_over({own.begin, end}, first, last));
    }
    first = last;
  }
  return parts;
}

PlannedFile plan_file(const TensorGroup& group, const SaveLayout& layout) {
  PlannedFile file{.group = group.name, .outlines = {}, .layout = {}, .parts = {}};
  for (const auto& [name, tensor] : group.tensors) {
    TORCH_CHECK(tensor.defined(), "plan_save: ", group.name, ": ", name, " is undefined");
    file.outlines.push_back({name, tensor.scalar_type(), group.global_shape(name, tensor).vec()});
  }
  file.layout = io::safetensors_layout(file.name(), file.outlines, {{"format", "pt"}});
  file.parts = parts_of(everything_held(group, file.layout), layout);
  return file;
}

}  // namespace

Tensor Segment::elements() const {
  // Conjugated or negated views keep other bytes than their values.
  const auto values = tensor.detach().resolve_conj().resolve_neg();
  return values.reshape(-1).narrow(0, begin, end - begin);
}

bool same_tensors(const std::vector<TensorGroup>& a, const std::vector<TensorGroup>& b) {
  const auto same_tensor = [](const auto& one, const auto& other) {
    const Tensor& x = one.second;
    const Tensor& y = other.second;
    return one.first == other.first && x.const_data_ptr() == y.const_data_ptr() &&
           x.sizes() == y.sizes() && x.strides() == y.strides() && x.dtype() == y.dtype();
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](const TensorGroup& one, const TensorGroup& other) {
                      return one.name == other.name && one.shards == other.shards &&
                             std::equal(one.tensors.begin(), one.tensors.end(),
                                        other.tensors.begin(), other.tensors.end(), same_tensor);
                    });
}

SavePlan plan_save(const std::vector<TensorGroup>& groups, const SaveLayout& layout) {
  SavePlan plan;
  for (const TensorGroup& group : groups) plan.push_back(plan_file(group, layout));
  return plan;
}

}  // namespace gear::train
