#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "gear/dist/placement.h"

namespace gear::dist {

/// The number of the step if srun started this process. Shells of salloc are steps too in the eyes
/// of SLURM, with the highest numbers, but each is a single process.
std::optional<int64_t> slurm_step(const Lookup& lookup);

/// The place of a task of that step.
Placement placed_by_slurm(const Lookup& lookup, int64_t step);

/// What is to be said when SLURM granted more than a process that srun has not started will use; or
/// nothing.
std::string notice_of_unused_tasks(const Lookup& lookup);

/// The first host of a list as SLURM writes it: "n[01-03,07],m5" gives "n01".
std::string first_host(const std::string& hosts);

/// The number of tasks on node `node` (from 0) out of counts as SLURM writes them: "4(x2),3" are
/// 4, 4 and 3. 0 when there is no such node or the text is not of that form.
int64_t tasks_on_node(const std::string& counts, int64_t node);

}  // namespace gear::dist
