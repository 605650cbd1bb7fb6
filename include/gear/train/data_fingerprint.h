#pragma once

#include "gear/data/image_folder.h"
#include "gear/data/index_set.h"
#include "gear/train/checkpoint.h"

namespace gear::train {

/// Count and names of the pictures of a set; its place on the disk and their bytes do not count.
DataFingerprint data_fingerprint(const data::ImageFolder& images);
/// The same of the pictures that were encoded: indices of a set count as that set.
DataFingerprint data_fingerprint(const data::IndexSet& indices);

}  // namespace gear::train
