#include "gear/dist/world.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include <thread>

#include "dist/ranks.h"

namespace gear::dist {
namespace {

using ::testing::ElementsAre;
using testing::run_ranks;

std::vector<float> values(const Tensor& tensor) {
  const auto flat = tensor.to(at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

Tensor of_rank(const World& world, int64_t size, at::ScalarType type = at::kFloat) {
  return at::full({size}, static_cast<double>(world.rank() + 1), type);
}

TEST(World, OneProcessIsAWorld) {
  const World world;
  EXPECT_EQ(world.rank(), 0);
  EXPECT_EQ(world.size(), 1);
  const auto tensor = of_rank(world, 2);
  world.sum(tensor);
  world.mean(tensor);
  world.broadcast(tensor);
  world.barrier();
  const auto whole = at::zeros({2});
  world.start_gather(whole, tensor).wait();
  EXPECT_THAT(values(whole), ElementsAre(1, 1));
  EXPECT_EQ(world.stack(tensor).sizes(), at::IntArrayRef({1, 2}));
  EXPECT_THAT(world.share("a"), ElementsAre("a"));
  EXPECT_TRUE(world.split(3).is_single());
  const SideBoard board = world.side_board();
  EXPECT_EQ(board.get("a"), std::nullopt);
  board.set("a", "text");
  EXPECT_EQ(board.get("a"), "text");
}

TEST(World, SumsAndMeansOverRanks) {
  run_ranks(3, [](const World& world) {
    for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16}) {
      const auto tensor = of_rank(world, 2, type);
      world.sum(tensor);
      EXPECT_THAT(values(tensor), ElementsAre(6, 6));
      world.mean(tensor);
      EXPECT_THAT(values(tensor), ElementsAre(6, 6));
    }
    const auto count = at::full({}, world.rank() + 1, at::kLong);
    world.sum(count);
    EXPECT_EQ(count.item<int64_t>(), 6);
  });
}

TEST(World, GathersInTheOrderOfRanks) {
  run_ranks(3, [](const World& world) {
    const auto whole = at::zeros({6});
    world.start_gather(whole, of_rank(world, 2)).wait();
    EXPECT_THAT(values(whole), ElementsAre(1, 1, 2, 2, 3, 3));
    EXPECT_THAT(values(world.stack(of_rank(world, 1))), ElementsAre(1, 2, 3));
  });
}

TEST(World, ReduceScatterGivesEachRankItsPieceOfTheSum) {
  run_ranks(3, [](const World& world) {
    const auto whole = at::arange(6, at::kFloat) * (world.rank() + 1);
    const auto part = at::zeros({2});
    world.start_reduce_scatter(part, whole).wait();
    const auto first = static_cast<float>(12 * world.rank());
    EXPECT_THAT(values(part), ElementsAre(first, first + 6));
  });
}

TEST(World, ExchangesPieces) {
  run_ranks(2, [](const World& world) {
    const auto sent = at::arange(4, at::kFloat) + 10 * static_cast<double>(world.rank());
    const auto received = at::zeros({4});
    world.exchange(received, sent);
    const auto first = static_cast<float>(2 * world.rank());
    EXPECT_THAT(values(received), ElementsAre(first, first + 1, first + 10, first + 11));
  });
}

TEST(World, BroadcastsAndSharesTexts) {
  run_ranks(3, [](const World& world) {
    const auto tensor = of_rank(world, 1);
    world.broadcast(tensor, 2);
    EXPECT_THAT(values(tensor), ElementsAre(3));
    for (const std::string round : {"a", "b"}) {
      EXPECT_THAT(world.share(round + std::to_string(world.rank())),
                  ElementsAre(round + "0", round + "1", round + "2"));
    }
    world.barrier();
  });
}

TEST(World, SharesTheFailureOfOneRank) {
  run_ranks(3, [](const World& world) {
    const std::string own = world.rank() == 1 ? "out of cheese" : "";
    EXPECT_THAT(world.share_failure(own), ElementsAre("", "out of cheese", ""));
    EXPECT_FALSE(world.is_stopping());
    world.barrier();
  });
}

TEST(World, SplitsByColor) {
  run_ranks(4, [](const World& world) {
    const World half = world.split(world.rank() % 2);
    EXPECT_EQ(half.size(), 2);
    EXPECT_EQ(half.rank(), world.rank() / 2);
    const auto tensor = of_rank(world, 1);
    half.sum(tensor);
    EXPECT_THAT(values(tensor), ElementsAre(world.rank() % 2 == 0 ? 4 : 6));
    EXPECT_TRUE(world.split(world.rank()).is_single());
  });
}

TEST(World, BoardsAreReadByOtherThreadsWhileCollectivesRun) {
  run_ranks(2, [](const World& world) {
    const SideBoard one = world.side_board();
    const SideBoard other = world.side_board();
    const std::string peer = std::to_string(1 - world.rank());
    std::string received;
    std::thread reader([&] {
      while (!one.get(peer)) std::this_thread::yield();
      received = *one.get(peer);
    });
    for (int i = 0; i < 50; ++i) world.sum(of_rank(world, 2));
    one.set(std::to_string(world.rank()), "from " + std::to_string(world.rank()));
    for (int i = 0; i < 50; ++i) world.sum(of_rank(world, 2));
    reader.join();
    EXPECT_EQ(received, "from " + peer);
    EXPECT_EQ(other.get(peer), std::nullopt);
    world.barrier();
    if (world.is_first()) one.remove(peer);
    world.barrier();
    EXPECT_EQ(one.get("1"), std::nullopt);
    world.barrier();  // rank 0 keeps the texts until then
  });
}

}  // namespace
}  // namespace gear::dist
