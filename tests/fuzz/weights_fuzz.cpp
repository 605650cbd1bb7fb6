#include "fuzz/input_file.h"
#include "fuzz/read_tensor.h"
#include "fuzz/targets.h"
#include "gear/io/weights.h"
#include "io/zip_builder.h"

namespace gear::fuzz {
namespace {

/// What an index can name beside it: weights of two tensors, "a" and "b".
std::string shard() {
  const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                             R"("b":{"dtype":"U8","shape":[4],"data_offsets":[8,12]}})";
  std::string bytes;
  io::append_number(bytes, header.size(), 8);
  return bytes + header + std::string(12, '\1');
}

}  // namespace

void weights(std::string_view bytes) {
  static const auto beside = input_folder().file("shard.safetensors", shard());
  const auto path = input_folder().file("weights.bin", bytes);
  for (const auto& options : {io::tokenizer_sections(), io::ar_sections(), io::section("vq")}) {
    try {
      for (const auto& [name, tensor] : io::load_tensors(path, options)) read_tensor(tensor);
    } catch (const Error&) {  // the next section may be there
    }
  }
}

}  // namespace gear::fuzz
