#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "cli/run_setup.h"

namespace gear::cli {

using PreviewHook = std::function<void(int64_t step, const std::filesystem::path& path)>;

/// Draws the previews of a run: pictures of `held_out` (nullptr: of the training set), their
/// reconstructions and samples, or computes them for nothing where the path is empty (a rank that
/// is not the first); samples alone for a run on indices. Empty where there are to be
/// none, or none can be drawn, which is said. The run and the recipe must outlive it.
PreviewHook make_preview(const ResolvedRun& run, const data::ImageFolder* held_out,
                         train::Recipe& recipe, c10::Device device);

}  // namespace gear::cli
