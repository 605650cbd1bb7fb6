#include "cli/network_names.h"

#include <algorithm>
#include <charconv>

#include "gear/core/text.h"

namespace gear::cli {

NetworkNames::NetworkNames(const io::WeightPart& part) {
  for (const io::StoredTensor& tensor : part.tensors) shapes_[tensor.name] = tensor.shape;
}

bool NetworkNames::choose(const std::string& telling) {
  for (const auto& [name, shape] : shapes_) {
    const size_t cut = name.size() - std::min(name.size(), telling.size());
    if (!name.ends_with(telling) || (cut > 0 && name[cut - 1] != '.')) continue;
    prefix_ = name.substr(0, cut);
    return true;
  }
  return false;
}

int64_t NetworkNames::size(const std::string& name, size_t dimension) const {
  const auto found = shapes_.find(prefix_ + name);
  return found == shapes_.end() || dimension >= found->second.size() ? 0 : found->second[dimension];
}

int64_t NetworkNames::count(const std::string& stem) const {
  const std::string start = prefix_ + stem;
  int64_t most = -1;
  for (auto at = shapes_.lower_bound(start); at != shapes_.end() && at->first.starts_with(start);
       ++at) {
    int64_t index = -1;
    std::from_chars(at->first.data() + start.size(), at->first.data() + at->first.size(), index);
    most = std::max(most, index);
  }
  return most + 1;
}

std::string size_or_unknown(int64_t size) { return size == 0 ? "?" : format_count(size); }

}  // namespace gear::cli
