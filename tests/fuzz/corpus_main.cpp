// Runs every target over the files of its folder in the corpus, without a fuzzer.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "fuzz/targets.h"

namespace gear::fuzz {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, Target> kTargets = {
    {"config", &config},
    {"image_bmp", &image_bmp},
    {"image_jpeg", &image_jpeg},
    {"image_png", &image_png},
    {"image_pnm", &image_pnm},
    {"image_tiff", &image_tiff},
    {"image_webp", &image_webp},
    {"npz", &npz},
    {"safetensors", &safetensors},
    {"script_module", &script_module},
    {"torch_archive", &torch_archive},
    {"unpickler", &unpickler},
    {"weights", &weights},
};

std::vector<fs::path> files_of(const fs::path& folder) {
  if (!fs::is_directory(folder)) fail(folder.string(), ": the target has no folder in the corpus");
  const fs::directory_iterator entries(folder);
  std::vector<fs::path> files(fs::begin(entries), fs::end(entries));
  if (files.empty()) fail(folder.string(), ": holds no file");
  std::sort(files.begin(), files.end());
  return files;
}

void run(const fs::path& corpus) {
  for (const auto& entry : fs::directory_iterator(corpus)) {
    if (!kTargets.contains(entry.path().filename())) {
      fail(entry.path().string(), ": belongs to no target");
    }
  }
  for (const auto& [name, target] : kTargets) {
    for (const auto& path : files_of(corpus / name)) {
      std::cout << name << "/" << path.filename().string() << std::endl;  // before it can crash
      std::ifstream stream(path, std::ios::binary);
      const std::string bytes(std::istreambuf_iterator<char>(stream), {});
      read_or_refuse(target, bytes);
    }
  }
}

}  // namespace
}  // namespace gear::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: gear_fuzz_corpus CORPUS_FOLDER\n";
    return 2;
  }
  gear::fuzz::run(argv[1]);  // what it throws ends the process with its message
}
