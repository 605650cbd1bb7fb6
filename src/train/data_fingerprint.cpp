#include "gear/train/data_fingerprint.h"

#include "gear/io/hash.h"

namespace gear::train {

DataFingerprint data_fingerprint(const data::ImageFolder& images) {
  const size_t root_length = images.root().string().size();
  std::string names;
  for (int64_t i = 0; i < images.size(); ++i) {
    const std::string path = images.path(i).string();
    names.append(path, path.find_first_not_of('/', root_length)).append("\n");
  }
  return {.images = images.size(), .names_sha256 = io::sha256_of_bytes(names)};
}

DataFingerprint data_fingerprint(const data::IndexSet& indices) {
  return {.images = indices.size(), .names_sha256 = indices.names_sha256()};
}

}  // namespace gear::train
