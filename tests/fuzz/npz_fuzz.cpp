#include "fuzz/input_file.h"
#include "fuzz/read_tensor.h"
#include "fuzz/targets.h"
#include "gear/io/npz.h"

namespace gear::fuzz {

void npz(std::string_view bytes) {
  const auto path = input_folder().file("arrays.npz", bytes);
  if (bytes.starts_with("\x93")) {
    read_tensor(io::read_npy(path));
    return;
  }
  for (const auto& [name, array] : io::read_npz(path)) read_tensor(array);
}

}  // namespace gear::fuzz
