#include "gear/io/torch_writer.h"

#include "gear/core/error.h"
#include "io/pickler.h"
#include "io/zip_writer.h"

namespace gear::io {
namespace {

constexpr uint64_t kAlignment = 64;

/// PyTorch names the folder in the archive after the file.
std::string folder_of(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  return stem.empty() ? "archive" : stem;
}

}  // namespace

void write_torch(const std::filesystem::path& path, const TorchValue& root) {
  Pickler pickler;
  const std::string pickle = with_context(path.string(), [&] { return pickler.pickle(root); });
  write_file_atomically(path, [&](FileWriter& file) {
    ZipWriter zip(file, kAlignment);
    const std::string folder = folder_of(path) + "/";
    zip.add(folder + "data.pkl", pickle);
    zip.add(folder + ".format_version", "1");
    zip.add(folder + ".storage_alignment", std::to_string(kAlignment));
    zip.add(folder + "byteorder", "little");
    for (size_t key = 0; key < pickler.storages().size(); ++key) {
      const at::Tensor data = pickler.storages()[key].to(at::kCPU);
      zip.add(folder + "data/" + std::to_string(key), data.const_data_ptr(), data.nbytes());
    }
    zip.add(folder + "version", "3\n");
    zip.finish();
  });
}

}  // namespace gear::io
