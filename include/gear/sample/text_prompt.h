#pragma once

#include "gear/models/ar/text_condition.h"

// B images, T caption positions, C_t text feature width

namespace gear::sample {

/// Captions to draw pictures of.
struct TextPrompt {
  models::TextCondition text;   // [B, T, C_t], [B, T]
  models::TextCondition empty;  // the empty text, B times or once; needed by guidance alone
};

}  // namespace gear::sample
