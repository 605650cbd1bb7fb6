#include "gear/dist/flat_layout.h"

#include <gtest/gtest.h>

namespace gear::dist {
namespace {

const std::vector<int64_t> kNumels = {100, 1, 0, 48, 17};

TEST(FlatLayout, PiecesTileEveryTensorInOrder) {
  for (const int64_t parts : {1, 2, 3, 7, 1024}) {
    const FlatLayout layout(kNumels, parts);
    for (int64_t tensor = 0; tensor < layout.tensors(); ++tensor) {
      int64_t next = 0;
      for (int64_t part = 0; part < parts; ++part) {
        const auto piece = layout.piece(tensor, part);
        if (piece.count == 0) continue;
        EXPECT_EQ(piece.offset, next);
        EXPECT_EQ(part * layout.part_size() + piece.place, layout.begin(tensor) + piece.offset);
        next += piece.count;
      }
      EXPECT_EQ(next, layout.numel(tensor));
    }
  }
}

TEST(FlatLayout, TensorsAndPartsBeginAtWholeVectors) {
  const FlatLayout layout(kNumels, 3);
  EXPECT_EQ(layout.part_size() % FlatLayout::kAlignment, 0);
  for (int64_t tensor = 0; tensor < layout.tensors(); ++tensor) {
    EXPECT_EQ(layout.begin(tensor) % FlatLayout::kAlignment, 0);
  }
  EXPECT_EQ(layout.begin(1), 112);
  EXPECT_EQ(layout.size(), 240);
}

TEST(FlatLayout, PartsAreEqualUpToTheAlignment) {
  const FlatLayout layout({1000000, 3000, 500}, 64);
  EXPECT_LE(layout.part_size(), 1003500 / 64 + 2 * FlatLayout::kAlignment);
}

}  // namespace
}  // namespace gear::dist
