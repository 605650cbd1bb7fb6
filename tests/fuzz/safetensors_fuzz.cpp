#include "fuzz/input_file.h"
#include "fuzz/read_tensor.h"
#include "fuzz/targets.h"
#include "gear/io/safetensors.h"

namespace gear::fuzz {

void safetensors(std::string_view bytes) {
  const io::SafetensorsFile file(input_folder().file("weights.safetensors", bytes));
  for (const auto& name : file.names()) {
    const io::TensorInfo& info = file.info(name);
    expect(info.begin <= info.end && info.end <= bytes.size(), "a tensor lies within its file");
    read_tensor(file.tensor(name));
  }
}

}  // namespace gear::fuzz
