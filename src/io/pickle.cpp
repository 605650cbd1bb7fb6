#include "gear/io/pickle.h"

#include <algorithm>

#include "gear/core/error.h"

namespace gear::io {
namespace {

constexpr size_t kMaxValues = 8'000'000;  // about 15 a tensor: half a million tensors
constexpr size_t kMaxValuesPerByte = 4;   // a value has an opcode; so has what a call copies

const PickleValue* find_entry(const PickleValue& dict, std::string_view key) {
  for (auto entry = dict.entries.rbegin(); entry != dict.entries.rend(); ++entry) {
    if (entry->first->is(PickleValue::Kind::kString) && entry->first->text == key) {
      return entry->second;  // the last one set wins, as in Python
    }
  }
  return nullptr;
}

}  // namespace

const PickleValue* PickleValue::find(std::string_view key) const {
  const PickleValue* found = find_entry(*this, key);
  if (found == nullptr && is(Kind::kObject) && state != nullptr) found = find_entry(*state, key);
  return found;
}

std::string describe(const PickleValue& value) {
  using Kind = PickleValue::Kind;
  switch (value.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return "a boolean";
    case Kind::kInt:
    case Kind::kBigInt:
      return "an integer";
    case Kind::kFloat:
      return "a float";
    case Kind::kString:
      return "a string";
    case Kind::kBytes:
      return "bytes";
    case Kind::kTuple:
      return "a tuple";
    case Kind::kList:
      return "a list";
    case Kind::kSet:
      return "a set";
    case Kind::kDict:
      return "a dictionary";
    case Kind::kGlobal:
      return "the name " + value.text;
    case Kind::kObject:
      return "an object of class " + value.text;
    case Kind::kStorage:
      return "a storage";
    case Kind::kTensor:
      return "a tensor";
  }
  fail("describe: unhandled kind ", static_cast<int>(value.kind));
}

PickleTree::PickleTree(size_t file_bytes)
    : most_(std::min(kMaxValues, kMaxValuesPerByte * std::min(file_bytes, kMaxValues))) {}

PickleValue* PickleTree::add(PickleValue::Kind kind) {
  charge(1);
  values_.emplace_back().kind = kind;
  return &values_.back();
}

void PickleTree::charge(size_t items) {
  charged_ += items;
  if (charged_ > most_) {
    fail("the pickle holds more than ", most_, " values, which no checkpoint of its size does");
  }
}

}  // namespace gear::io
