#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "train/checkpoint_manifest.h"
#include "train/save_plan.h"

namespace gear::train {

/// Makes the files of the plan in `folder`, at full size and with their heads; the first rank calls
/// it before all ranks write their parts into them.
void create_files(const std::filesystem::path& folder, const SavePlan& plan);

/// Writes this rank's parts into the files, and tells of them in a text for the first rank. When
/// it returns, the bytes are on the disk. `on_progress` is called now and then.
std::string write_parts(const std::filesystem::path& folder, const SavePlan& plan,
                        const std::function<void()>& on_progress);

/// The parts of each file of the plan, by rising offset, from what all ranks have told. Fails when
/// the ranks do not describe the same files, or a byte belongs to no part or to two.
std::vector<std::vector<WrittenPart>> join_parts(const SavePlan& plan,
                                                 const std::vector<std::string>& told);

}  // namespace gear::train
