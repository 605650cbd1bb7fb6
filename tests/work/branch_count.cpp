#include "work/branch_count.h"

namespace {

uint64_t count = 0;

}  // namespace

/// What counted sources call at every branch.
extern "C" void __sanitizer_cov_trace_pc() { ++count; }

uint64_t gear::work::branches() { return count; }
