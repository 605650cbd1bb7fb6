#include "gear/dist/placement.h"

#include <cstdlib>

#include "dist/slurm.h"
#include "dist/variables.h"
#include "gear/core/error.h"
#include "gear/dist/launcher.h"

namespace gear::dist {
namespace {

Placement placed_by_torchrun(const Lookup& lookup) {
  constexpr PlaceNames kNames{
      .rank = "RANK", .world_size = "WORLD_SIZE", .local_rank = "LOCAL_RANK"};
  const Variables variables(lookup, is_launched(lookup) ? "gear" : "torchrun");
  Placement placement = place(variables, kNames);
  if (variables.has("LOCAL_RANK") || variables.has("LOCAL_WORLD_SIZE")) {
    place_locally(placement, variables, kNames,
                  variables.number("LOCAL_WORLD_SIZE", 1, placement.world_size));
  }
  if (placement.world_size == 1) return placement;
  if (!variables.has("MASTER_ADDR")) {
    fail("MASTER_ADDR is not set, though WORLD_SIZE is ", placement.world_size,
         "; it names the machine of rank 0 and is the same for all ranks");
  }
  variables.number("MASTER_PORT", 1, kLastPort);  // it must be set
  take_meeting_place(placement, variables, "", 0);
  placement.run_id =
      variables.text("TORCHELASTIC_RUN_ID") + "/" + variables.text("TORCHELASTIC_RESTART_COUNT");
  placement.launcher_stores = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  return placement;
}

Placement placed_by_open_mpi(const Lookup& lookup) {
  constexpr PlaceNames kNames{.rank = "OMPI_COMM_WORLD_RANK",
                              .world_size = "OMPI_COMM_WORLD_SIZE",
                              .local_rank = "OMPI_COMM_WORLD_LOCAL_RANK"};
  const Variables variables(lookup, "mpirun");
  Placement placement = place(variables, kNames);
  place_locally(placement, variables, kNames,
                variables.number("OMPI_COMM_WORLD_LOCAL_SIZE", 1, placement.world_size));
  if (!placement.is_on_one_machine() && !variables.has("MASTER_ADDR")) {
    fail(
        "MASTER_ADDR is not set, and mpirun does not tell where rank 0 of a run on several "
        "machines is; name its machine, as in mpirun -x MASTER_ADDR=node1");
  }
  constexpr uint16_t kUsualPort = 29500;  // torchrun's
  placement.run_id = variables.text("PMIX_NAMESPACE");
  const uint16_t port = placement.run_id.empty()
                            ? kUsualPort
                            : port_of_run(std::hash<std::string>()(placement.run_id));
  take_meeting_place(placement, variables, "127.0.0.1", port);
  return placement;
}

}  // namespace

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

Placement placement_from_environment(const Lookup& lookup) {
  if (lookup("RANK")) return placed_by_torchrun(lookup);
  if (lookup("OMPI_COMM_WORLD_RANK") || lookup("OMPI_COMM_WORLD_SIZE")) {
    return placed_by_open_mpi(lookup);
  }
  if (const auto step = slurm_step(lookup)) return placed_by_slurm(lookup, *step);
  if (lookup("WORLD_SIZE")) return placed_by_torchrun(lookup);  // which says that RANK is missing
  return {.notice = notice_of_unused_tasks(lookup)};
}

}  // namespace gear::dist
