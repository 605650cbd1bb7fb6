#include "fuzz/input_file.h"
#include "fuzz/read_tensor.h"
#include "fuzz/targets.h"
#include "gear/io/torch_archive.h"
#include "io/script_module.h"
#include "io/zip_builder.h"

namespace gear::fuzz {
namespace {

void read_archive(const std::filesystem::path& path) {
  const io::TorchArchive archive(path);
  for (const auto& [name, tensor] : io::collect_tensors(archive.root()))
    read_tensor(tensor->values());
  if (!io::is_script_module(archive.root())) return;
  for (const auto& [name, tensor] : io::script_tensors(archive.root()))
    read_tensor(tensor->values());
}

}  // namespace

void torch_archive(std::string_view bytes) {
  read_archive(input_folder().file("archive.pt", bytes));
}

void script_module(std::string_view bytes) {
  // The checksum of its record would refuse nearly every changed pickle, so it is made here.
  static const std::string storage(64, '\1');
  read_archive(
      input_folder().file("module.pt", io::stored_zip({{"archive/data.pkl", std::string(bytes)},
                                                       {"archive/data/0", storage},
                                                       {"archive/data/1", storage.substr(0, 21)},
                                                       {"archive/data/2", ""}})));
}

}  // namespace gear::fuzz
