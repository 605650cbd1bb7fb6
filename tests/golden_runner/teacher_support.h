#pragma once

#include "gear/models/teachers/vit_teacher.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {

/// Compares the preprocessed picture, the patch tokens after every stored block, and the encoder's
/// own output for input `image`.
void report_teacher(models::VitTeacher& model, const Case& golden, Report& report);

}  // namespace gear::golden
