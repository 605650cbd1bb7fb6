#include "gear/data/held_out.h"

#include <ATen/ops/empty.h>

#include "gear/data/transform.h"

namespace gear::data {

Tensor read_held_out(const std::filesystem::path& file, const DataConfig& config) {
  const int64_t side = config.image_size;
  Tensor planes = at::empty({3, side, side}, at::kByte);
  io::with_memory_for(file.string(), [&] {
    const io::Image image = io::read_image(file, decode_options(config));
    scaled_crop(image, side, config.val_filter, centre_cut(side),
                planes.mutable_data_ptr<uint8_t>());
  });
  return planes;
}

}  // namespace gear::data
