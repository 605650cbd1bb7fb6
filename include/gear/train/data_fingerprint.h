#pragma once

#include "gear/data/image_folder.h"
#include "gear/train/checkpoint.h"

namespace gear::train {

/// Count and names of the pictures of a set; its place on the disk and their bytes do not count.
DataFingerprint data_fingerprint(const data::ImageFolder& images);

}  // namespace gear::train
