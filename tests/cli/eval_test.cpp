// gear eval, and the measurements on held-out pictures while training.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tiny_setup.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;

TEST(Eval, MeasuresPicturesOfMoreClassesThanTheModelHas) {
  const TinySetup tiny;
  const fs::path other = tiny.root() / "other";
  write_pictures(other);
  io::write_png(other / "plum" / "0.png", noise_image(200));
  const Outcome trained =
      tiny.train({"steps=1", "data.val_path=" + other.string(), "output.eval_every=1"});
  ASSERT_EQ(trained.exit_code, exit_code::kSuccess) << trained.err;
  EXPECT_THAT(io::read_bytes(tiny.run() / "metrics.jsonl"), HasSubstr("\"vq_val/psnr\""));

  const Outcome outcome = tiny.gear({"eval", tiny.run().string(), "--data", other.string()});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("reconstruction of 13 pictures of " + other.string()));
}

}  // namespace
}  // namespace gear::cli::testing
