#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "gear/sample/generate.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {

/// Generates the tokens of a condition.
using Generate =
    std::function<at::Tensor(const sample::SampleOptions&, const sample::LogitsObserver&)>;

/// Compares tokens and logits of one of a case's greedy `runs`: <name>.tokens, <name>.step_logits.
void check_sample_run(Report& report, const nlohmann::json& run, const Generate& generate);

}  // namespace gear::golden
