#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gear/io/weight_parts.h"

namespace gear::cli {

/// Looks for one network among the tensors of a part, below the prefix at which its telling tensor
/// stands ("" in plain files, "module." or "model." in others).
class NetworkNames {
 public:
  explicit NetworkNames(const io::WeightPart& part);

  /// Finds the tensor whose name is a prefix plus `telling`; the prefix then holds for the rest.
  bool choose(const std::string& telling);

  bool has(const std::string& name) const { return shapes_.contains(prefix_ + name); }
  /// 0 when there is no such tensor or dimension.
  int64_t size(const std::string& name, size_t dimension) const;
  /// Number of modules `stem`0, `stem`1, ... ("layers." for layers.0.norm.weight).
  int64_t count(const std::string& stem) const;

 private:
  std::map<std::string, std::vector<int64_t>> shapes_;
  std::string prefix_;
};

/// "16,384", or "?" for the 0 of a size that the file does not tell.
std::string size_or_unknown(int64_t size);

}  // namespace gear::cli
