// Reading primitives and the stack of the Unpickler; its opcodes are in unpickler.cpp.
#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "gear/core/error.h"
#include "io/unpickler.h"

namespace gear::io {

std::string_view Unpickler::take(uint64_t count) {
  const size_t left = bytes_.size() - position_;
  if (count > left) {
    fail("the pickle ends early: ", count, " bytes are needed at byte ", position_, ", ", left,
         " are left");
  }
  const auto taken = bytes_.substr(position_, count);
  position_ += count;
  return taken;
}

std::string_view Unpickler::take_line() {
  const size_t end = bytes_.find('\n', position_);
  if (end == std::string_view::npos) {
    fail("the pickle ends early: a line without its end at byte ", position_);
  }
  const auto line = bytes_.substr(position_, end - position_);
  position_ = end + 1;
  return line;
}

uint64_t Unpickler::take_unsigned(int bytes) {
  uint64_t value = 0;
  const auto taken = take(static_cast<uint64_t>(bytes));
  for (int i = 0; i < bytes; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(taken[i])) << (8 * i);
  }
  return value;
}

PickleValue* Unpickler::take_integer_line() {
  std::string text(take_line());
  PickleValue* value = tree_.add(Kind::kInt);
  if (text == "00" || text == "01") value->kind = Kind::kBool;  // how protocol 0 spells them
  if (text.ends_with('L')) text.pop_back();
  char* end = nullptr;
  errno = 0;
  value->integer = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || errno == ERANGE) {
    fail("the pickle has the bad integer '", text.substr(0, 40), "'");
  }
  return value;
}

PickleValue* Unpickler::pop() {
  PickleValue* value = top();
  stack_.pop_back();
  return value;
}

PickleValue* Unpickler::top() {
  if (stack_.size() <= floor()) fail("the pickle takes a value from an empty stack");
  return stack_.back();
}

std::vector<const PickleValue*> Unpickler::pop_to_mark() {
  if (marks_.empty()) fail("the pickle looks for a mark that was never set");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<const PickleValue*> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void Unpickler::push_int(int64_t value) {
  push(tree_.add(Kind::kInt));
  top()->integer = value;
}

void Unpickler::push_long(std::string_view little_endian) {
  if (little_endian.size() > 8) return push_text(Kind::kBigInt, little_endian);
  uint64_t bits = 0;
  for (size_t i = 0; i < little_endian.size(); ++i) {
    bits |= static_cast<uint64_t>(static_cast<unsigned char>(little_endian[i])) << (8 * i);
  }
  const size_t unused = 64 - 8 * little_endian.size();
  const bool negative = !little_endian.empty() && little_endian.back() < 0;
  if (negative && unused > 0) bits |= ~uint64_t{0} << (64 - unused);
  push_int(static_cast<int64_t>(bits));
}

void Unpickler::push_text(Kind kind, std::string_view text) {
  push(tree_.add(kind));
  top()->text = text;
}

void Unpickler::push_items(Kind kind, std::vector<const PickleValue*> items) {
  push(tree_.add(kind));
  top()->items = std::move(items);
}

void Unpickler::push_tuple(size_t count) {
  std::vector<const PickleValue*> items(count);
  for (size_t i = count; i-- > 0;) items[i] = pop();
  push_items(Kind::kTuple, std::move(items));
}

void Unpickler::set_items(PickleValue* target, const std::vector<const PickleValue*>& items) {
  if (!target->is(Kind::kDict) && !target->is(Kind::kObject)) {
    fail("the pickle sets entries of ", describe(*target));
  }
  if (items.size() % 2 != 0) fail("the pickle sets a key without a value");
  for (size_t i = 0; i < items.size(); i += 2) {
    target->entries.emplace_back(items[i], items[i + 1]);
  }
}

void Unpickler::append(PickleValue* target, const std::vector<const PickleValue*>& items) {
  if (!target->is(Kind::kList) && !target->is(Kind::kSet) && !target->is(Kind::kObject)) {
    fail("the pickle appends to ", describe(*target));
  }
  target->items.insert(target->items.end(), items.begin(), items.end());
}

}  // namespace gear::io
