#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gear/io/pickle.h"

namespace gear::io {

class MappedFile;

struct TorchArchiveOptions {
  /// Compare the checksum (CRC-32) that a zip file has for the values of each storage, which reads
  /// them all. That of everything else is compared in any case.
  bool check_values = true;
};

/// A file of torch.save, of the zip format (PyTorch 1.6 and later) or the older stream of pickles.
/// Nothing named in the file is imported or called: known tensor builders are understood, plain
/// data is kept, objects of unknown classes become inert records, and a call of anything else is an
/// Error. Numbers in the file are checked against its bytes before memory is allocated, and values
/// against the checksums of a zip file; the older format has none, and torch.save can leave them
/// out.
///
/// Tensors are CPU tensors over the mapped file (copy-on-write); views of one storage share it, as
/// when they were saved. A storage that is not aligned for its type, as nearly all of the older
/// format are, is copied as far as tensors are asked for, and only for as long as they live.
class TorchArchive {
 public:
  /// What the container says of itself ("format version", "3"), for people.
  using Facts = std::vector<std::pair<std::string, std::string>>;

  explicit TorchArchive(const std::filesystem::path& path, const TorchArchiveOptions& options = {});

  const PickleValue& root() const { return *root_; }
  const std::string& path() const { return path_; }
  const Facts& facts() const { return facts_; }

  /// Whether the bytes look like a file of torch.save (of either format).
  static bool recognises(const MappedFile& file);

 private:
  std::string path_;
  std::shared_ptr<PickleTree> tree_;
  const PickleValue* root_ = nullptr;
  Facts facts_;
};

using PickledTensors = std::vector<std::pair<std::string, std::shared_ptr<const PickledTensor>>>;

/// Every tensor below `root`, depth first, named by its keys and list positions joined with '/'.
/// Looks into dictionaries, lists and tuples.
PickledTensors collect_tensors(const PickleValue& root);

}  // namespace gear::io
