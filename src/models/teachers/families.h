#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gear/models/teachers/teacher.h"

namespace gear::models {

/// One teacher of the configuration: its own size, the rest as for all.
struct TeacherChoice {
  TeacherConfig config;  ///< with this teacher's name and weights alone
  std::string size;      ///< "b" of dinov2-vit-b
  int64_t grid = 16;     ///< tokens of the tokenizer per side
};

/// A family of vision encoders that share code and kind of file.
struct TeacherFamily {
  const char* prefix;                      ///< of the names; a size follows
  std::vector<std::string> sizes;          ///< as published
  std::vector<int64_t> image_sizes;        ///< in pixels; empty: any
  int64_t (*depth)(const TeacherChoice&);  ///< number of blocks

  /// The network with its weights, read from config.weights or random.
  std::shared_ptr<Teacher> (*make)(const TeacherChoice&);

  std::string (*weight_file)(const TeacherChoice&);  ///< file to download
  const char* origin;                                ///< where it is
};

/// Every family that can be named in teacher.model.
const std::vector<TeacherFamily>& teacher_families();

}  // namespace gear::models
