#include "dist/slurm.h"

#include <limits>
#include <regex>

#include "dist/variables.h"
#include "gear/core/error.h"

namespace gear::dist {
namespace {

constexpr PlaceNames kNames{
    .rank = "SLURM_PROCID", .world_size = "SLURM_STEP_NUM_TASKS", .local_rank = "SLURM_LOCALID"};

/// Users of other programs often set it in their batch scripts, from what was granted.
void expect_same_world_size(const Placement& placement, const Variables& variables) {
  const int64_t named = variables.number_or("WORLD_SIZE", placement.world_size, 1, kMostRanks);
  if (named == placement.world_size) return;
  fail("WORLD_SIZE is ", named, ", but srun started ", placement.world_size,
       " tasks; unset WORLD_SIZE, which is not needed under srun");
}

int64_t local_tasks(const Placement& placement, const Variables& variables) {
  const std::string counts = variables.text("SLURM_STEP_TASKS_PER_NODE");
  const int64_t node = variables.number("SLURM_NODEID", 0, kMostRanks);
  const int64_t tasks = tasks_on_node(counts, node);
  if (tasks >= 1 && tasks <= placement.world_size) return tasks;
  fail(
      "SLURM_STEP_TASKS_PER_NODE (set by SLURM): expected the numbers of tasks of all nodes, as "
      "in 4(x2),3, got ",
      counts, " on node ", node, " of a step of ", placement.world_size, " tasks");
}

/// The node of rank 0, unless MASTER_ADDR names it.
std::string first_node(const Placement& placement, const Variables& variables) {
  if (placement.is_on_one_machine()) return "127.0.0.1";
  const std::string nodes = variables.text("SLURM_STEP_NODELIST");
  const std::string host = first_host(nodes);
  if (host.empty() && !variables.has("MASTER_ADDR")) {
    fail("SLURM_STEP_NODELIST (set by SLURM): expected the nodes of the step, as in n[1-4], got ",
         nodes, "; name the node of rank 0 in MASTER_ADDR");
  }
  return host;
}

}  // namespace

std::optional<int64_t> slurm_step(const Lookup& lookup) {
  constexpr int64_t kFirstSpecial = 0xfffffff0;
  constexpr int64_t kLastSpecial = 0xffffffff;
  const Variables variables(lookup, "SLURM");
  if (!variables.has("SLURM_STEP_ID")) return std::nullopt;
  const int64_t step = variables.number("SLURM_STEP_ID", 0, kLastSpecial);
  return step < kFirstSpecial ? std::optional(step) : std::nullopt;
}

Placement placed_by_slurm(const Lookup& lookup, int64_t step) {
  const Variables variables(lookup, "SLURM");
  Placement placement = place(variables, kNames);
  expect_same_world_size(placement, variables);
  place_locally(placement, variables, kNames, local_tasks(placement, variables));
  if (placement.world_size == 1) return placement;
  const int64_t job = variables.number("SLURM_JOB_ID", 0, std::numeric_limits<int64_t>::max());
  placement.run_id = std::to_string(job) + "." + std::to_string(step);
  constexpr int64_t kBetweenSteps = 101;  // of one job, which may run at the same time
  take_meeting_place(
      placement, variables, first_node(placement, variables),
      port_of_run(static_cast<uint64_t>(job) + static_cast<uint64_t>(kBetweenSteps * step)));
  return placement;
}

std::string notice_of_unused_tasks(const Lookup& lookup) {
  const std::string tasks = lookup("SLURM_NTASKS").value_or("1");
  if (!lookup("SLURM_JOB_ID") || tasks == "1") return "";
  return "SLURM granted " + tasks +
         " tasks, but gear was not started by srun and trains in this process alone; write srun "
         "in front of gear, or add --nproc-per-node";
}

std::string first_host(const std::string& hosts) {
  std::string host;
  for (size_t at = 0; at < hosts.size() && hosts[at] != ','; ++at) {
    if (hosts[at] != '[') {
      host += hosts[at];
      continue;
    }
    const size_t close = hosts.find(']', at);
    if (close == std::string::npos) return "";
    host += hosts.substr(at + 1, hosts.find_first_of("-,]", at) - at - 1);
    at = close;
  }
  return host;
}

int64_t tasks_on_node(const std::string& counts, int64_t node) {
  static const std::regex kGroup("([0-9]{1,9})(\\(x([0-9]{1,9})\\))?(,|$)");
  auto at = counts.cbegin();
  std::smatch group;
  while (
      std::regex_search(at, counts.cend(), group, kGroup, std::regex_constants::match_continuous)) {
    const int64_t nodes = group[3].matched ? std::stoll(group[3]) : 1;
    if (node < nodes) return std::stoll(group[1]);
    node -= nodes;
    at = group.suffix().first;
  }
  return 0;
}

}  // namespace gear::dist
