#pragma once

#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gear/io/pickle.h"

namespace gear::io {

/// Reads pickles of protocol 0 to 5 (the opcodes are listed with their meaning in CPython's
/// Lib/pickletools.py) into inert values. It imports nothing and calls nothing; lengths are checked
/// against the bytes that are there before anything is allocated.
class Unpickler {
 public:
  /// What stands for a persistent id; PyTorch uses them for storages.
  using PersistentLoad = std::function<PickleValue*(PickleValue* id)>;

  Unpickler(PickleTree& tree, std::string_view bytes, PersistentLoad persistent_load)
      : tree_(tree), bytes_(bytes), persistent_load_(std::move(persistent_load)) {}

  /// The next pickle of the bytes. Throws Error, without the path, on anything that is not one.
  PickleValue* load();
  size_t position() const { return position_; }  ///< just behind the pickle read last

 private:
  using Kind = PickleValue::Kind;

  bool execute(unsigned char opcode);  ///< false for an opcode it does not know
  bool execute_scalar(unsigned char opcode);
  bool execute_text(unsigned char opcode);
  bool execute_container(unsigned char opcode);
  bool execute_object(unsigned char opcode);
  bool execute_memo(unsigned char opcode);

  // Reading
  std::string_view take(uint64_t count);
  std::string_view take_line();
  uint64_t take_unsigned(int bytes);
  PickleValue* take_integer_line();

  // The stack; a mark hides what is below it.
  void push(PickleValue* value) { stack_.push_back(value); }
  PickleValue* pop();
  PickleValue* top();
  std::vector<const PickleValue*> pop_to_mark();
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  // Making values
  void push_int(int64_t value);
  void push_long(std::string_view little_endian);
  void push_text(Kind kind, std::string_view text);
  void push_tuple(size_t count);
  void push_items(Kind kind, std::vector<const PickleValue*> items);
  void push_global(std::string_view module, std::string_view name);
  PickleValue* arguments_of(std::vector<const PickleValue*> items);
  void set_items(PickleValue* target, const std::vector<const PickleValue*>& keys_and_values);
  void append(PickleValue* target, const std::vector<const PickleValue*>& items);
  void build();
  void recall(uint64_t index);

  PickleTree& tree_;
  std::string_view bytes_;
  PersistentLoad persistent_load_;
  size_t position_ = 0;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, PickleValue*> memo_;
};

}  // namespace gear::io
