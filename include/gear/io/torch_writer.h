#pragma once

#include <torch/types.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace gear::io {

/// A value of Python as far as a checkpoint needs it: None, bool, int, float, str, list, tuple,
/// dict, tensor.
class TorchValue {
 public:
  struct List {
    std::vector<TorchValue> items;
  };
  struct Tuple {
    std::vector<TorchValue> items;
  };
  struct Dict {
    std::vector<std::pair<TorchValue, TorchValue>> entries;  ///< in the order they were set

    /// Adds an entry; the caller sets each key once.
    void set(TorchValue key, TorchValue value);
  };
  using Data = std::variant<std::monostate, bool, int64_t, double, std::string, List, Tuple, Dict,
                            at::Tensor>;

  TorchValue() = default;  ///< None
  TorchValue(bool value) : data_(value) {}
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) TorchValue(Integer value)
      : data_(static_cast<int64_t>(value)) {}
  TorchValue(double value) : data_(value) {}
  TorchValue(const char* text) : data_(std::string(text)) {}
  TorchValue(std::string text) : data_(std::move(text)) {}
  TorchValue(List list) : data_(std::move(list)) {}
  TorchValue(Tuple tuple) : data_(std::move(tuple)) {}
  TorchValue(Dict dict) : data_(std::move(dict)) {}
  TorchValue(at::Tensor tensor) : data_(std::move(tensor)) {}

  const Data& data() const { return data_; }

 private:
  Data data_;
};

/// Writes `root` as torch.save of PyTorch 1.6 and later does: a zip file with a pickle of protocol
/// 2 and one record for each storage, its bytes at a multiple of 64. torch.load accepts it with
/// weights_only=True. Whole or not at all (written beside `path`, synced, renamed).
///
/// Storages are written one after the other without a second copy of the whole. Tensors on the CPU
/// that share a storage share it in the file, where it stands once, whole; others are written by
/// their values. Throws Error for a tensor that has no plain storage (sparse, quantized).
void write_torch(const std::filesystem::path& path, const TorchValue& root);

}  // namespace gear::io
