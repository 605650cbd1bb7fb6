#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gear/io/torch_writer.h"

namespace gear::io {

/// Pickles values in protocol 2, as torch.save does, and collects the storages that they name.
class Pickler {
 public:
  /// The whole pickle, to be called once. Throws Error for a tensor that has no plain storage.
  std::string pickle(const TorchValue& root);

  /// Flat bytes of the storages, in the order of their keys "0", "1", ...; on the CPU or, where
  /// they are copies, on the device of their tensor.
  const std::vector<at::Tensor>& storages() const { return storages_; }

 private:
  void write(const TorchValue& value);
  void write_int(int64_t value);
  void write_float(double value);
  void write_text(const std::string& text);
  void write_dict(const TorchValue::Dict& dict);
  void write_list(const std::vector<TorchValue>& items);
  void write_tuple(const std::vector<TorchValue>& items);
  void write_sizes(at::IntArrayRef sizes);
  void write_tensor(const at::Tensor& tensor);
  void write_storage(const std::string& type, const std::string& key, int64_t count);
  void write_global(const std::string& module, const std::string& name);
  std::string key_of(const at::Tensor& tensor);

  std::string bytes_;
  std::vector<at::Tensor> storages_;
  /// Storage and dtype to key: PyTorch gives a storage one type.
  std::map<std::pair<const void*, at::ScalarType>, std::string> keys_;
};

}  // namespace gear::io
