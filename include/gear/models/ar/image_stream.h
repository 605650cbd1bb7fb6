#pragma once

#include <string>

#include "gear/io/weights.h"
#include "gear/models/ar/ar_model.h"

namespace gear::models {

/// What the text stream of double-stream blocks starts from.
enum class TextStreamStart { kCopyOfImageStream, kAsItIs };

/// Weights of a class-conditional transformer for a text-conditional one of the same size. The
/// class table of the file is left out; the caption projection keeps its values. Errors begin with
/// `source`: a file that is not class-conditional, or that does not fit.
void load_image_stream(ArModel& model, const io::TensorMap& tensors, const std::string& source,
                       TextStreamStart start = TextStreamStart::kCopyOfImageStream);

}  // namespace gear::models
