#include "dist/board.h"

#include "dist/meeting.h"

namespace gear::dist {
namespace {

constexpr const char* kVerdict = "verdict";
constexpr const char* kLeft = "left";

std::vector<uint8_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }
std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

Board::Board(const Placement& placement)
    : store_(reach_store(placement)), rank_(placement.rank), size_(placement.world_size) {}

void Board::tell(const RankSign& own) { store_->set(key_of_sign(rank_), to_text(own)); }

RankSign Board::first_sign() { return sign_of(store_->get_to_str(key_of_sign(0))); }

std::vector<RankSign> Board::signs() {
  std::vector<std::string> keys;
  for (int64_t rank = 0; rank < size_; ++rank) keys.push_back(key_of_sign(rank));
  std::vector<RankSign> signs;
  for (const auto& text : store_->multiGet(keys)) signs.push_back(sign_of(text_of(text)));
  return signs;
}

std::optional<std::string> Board::verdict() {
  if (!store_->check({kVerdict})) return std::nullopt;
  return store_->get_to_str(kVerdict);
}

std::string Board::agree(const std::string& reason) {
  return text_of(store_->compareSet(kVerdict, {}, bytes(reason)));
}

void Board::leave() { store_->add(kLeft, 1); }
int64_t Board::left() { return store_->add(kLeft, 0); }

}  // namespace gear::dist
