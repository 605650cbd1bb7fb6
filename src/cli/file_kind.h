#pragma once

#include <string>
#include <vector>

#include "cli/inspect.h"

namespace gear::cli {

/// Whose file this is, in words: "Lightning checkpoint with EMA shadows, epoch 3", "training file
/// of the reference, stage 1 (vq, vq_ema, ar, ema, projectors, discriminator, optimizers), step
/// 50000", "torchvision VGG-16".
///   parts  those of the file, all of them
std::string file_kind(const io::WeightFile& file, const std::vector<InspectedPart>& parts);

}  // namespace gear::cli
