#include "io/unpickler.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "gear/core/error.h"
#include "io/pickle_calls.h"

namespace gear::io {
namespace {

constexpr int kHighestProtocol = 5;
constexpr unsigned char kStop = '.';
constexpr size_t kMostNameBytes = 500;  // each use copies the name, which a few bytes can repeat

/// Python 2 names of modules that Python 3 renamed.
std::string_view current_module(std::string_view module) {
  if (module == "__builtin__") return "builtins";
  if (module == "copy_reg") return "copyreg";
  return module;
}

}  // namespace

PickleValue* Unpickler::load() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (true) {
    const size_t at = position_;
    const auto opcode = static_cast<unsigned char>(take(1)[0]);
    if (opcode == kStop) return pop();
    if (!execute(opcode)) {
      char text[8];
      std::snprintf(text, sizeof text, "0x%02x", opcode);
      fail("the pickle has the unknown opcode ", text, " at byte ", at);
    }
  }
}

bool Unpickler::execute(unsigned char opcode) {
  switch (opcode) {
    case 0x80: {  // PROTO
      const auto protocol = take_unsigned(1);
      if (protocol > kHighestProtocol) fail("the pickle has the unknown protocol ", protocol);
      return true;
    }
    case 0x95:
      take(8);
      return true;  // FRAME: a hint for buffering
    case '(':
      marks_.push_back(stack_.size());
      return true;
    case '0':
      pop();
      return true;
    case '1':
      pop_to_mark();
      return true;
    case '2':
      push(top());
      return true;
    default:
      return execute_scalar(opcode) || execute_text(opcode) || execute_container(opcode) ||
             execute_object(opcode) || execute_memo(opcode);
  }
}

bool Unpickler::execute_scalar(unsigned char opcode) {
  switch (opcode) {
    case 'N':
      push(tree_.add(Kind::kNone));
      return true;
    case 0x88:
    case 0x89:
      push_int(opcode == 0x88 ? 1 : 0);
      top()->kind = Kind::kBool;
      return true;
    case 'I':
    case 'L':
      push(take_integer_line());
      return true;
    case 'J':
      push_int(static_cast<int32_t>(take_unsigned(4)));
      return true;
    case 'K':
      push_int(static_cast<int64_t>(take_unsigned(1)));
      return true;
    case 'M':
      push_int(static_cast<int64_t>(take_unsigned(2)));
      return true;
    case 0x8a:
      push_long(take(take_unsigned(1)));
      return true;  // LONG1
    case 0x8b:
      push_long(take(take_unsigned(4)));
      return true;  // LONG4
    case 'F': {
      const std::string text(take_line());
      char* end = nullptr;
      const double real = std::strtod(text.c_str(), &end);
      if (text.empty() || *end != '\0') fail("the pickle has the bad number '", text, "'");
      push(tree_.add(Kind::kFloat));
      top()->real = real;
      return true;
    }
    case 'G': {  // BINFLOAT is big-endian
      uint64_t bits = 0;
      for (const char byte : take(8)) bits = bits << 8 | static_cast<unsigned char>(byte);
      push(tree_.add(Kind::kFloat));
      top()->real = std::bit_cast<double>(bits);
      return true;
    }
    default:
      return false;
  }
}

bool Unpickler::execute_text(unsigned char opcode) {
  switch (opcode) {
    case 'S': {  // STRING: a quoted Python literal; PyTorch never writes escapes
      const auto line = take_line();
      if (line.size() < 2 || line.front() != line.back()) fail("the pickle has an open string");
      push_text(Kind::kString, line.substr(1, line.size() - 2));
      return true;
    }
    case 'V':
      push_text(Kind::kString, take_line());
      return true;
    case 'T':
    case 'X':
      push_text(Kind::kString, take(take_unsigned(4)));
      return true;
    case 'U':
    case 0x8c:
      push_text(Kind::kString, take(take_unsigned(1)));
      return true;
    case 0x8d:
      push_text(Kind::kString, take(take_unsigned(8)));
      return true;
    case 'B':
      push_text(Kind::kBytes, take(take_unsigned(4)));
      return true;
    case 'C':
      push_text(Kind::kBytes, take(take_unsigned(1)));
      return true;
    case 0x8e:
    case 0x96:
      push_text(Kind::kBytes, take(take_unsigned(8)));
      return true;
    default:
      return false;
  }
}

bool Unpickler::execute_container(unsigned char opcode) {
  switch (opcode) {
    case ')':
      push_tuple(0);
      return true;
    case 0x85:
      push_tuple(1);
      return true;
    case 0x86:
      push_tuple(2);
      return true;
    case 0x87:
      push_tuple(3);
      return true;
    case 't':
      push_items(Kind::kTuple, pop_to_mark());
      return true;
    case ']':
      push(tree_.add(Kind::kList));
      return true;
    case 'l':
      push_items(Kind::kList, pop_to_mark());
      return true;
    case 0x8f:
      push(tree_.add(Kind::kSet));
      return true;
    case 0x91:
      push_items(Kind::kSet, pop_to_mark());
      return true;
    case 'a': {
      PickleValue* item = pop();
      append(top(), {item});
      return true;
    }
    case 'e':
    case 0x90: {
      const auto items = pop_to_mark();
      append(top(), items);
      return true;
    }
    case '}':
      push(tree_.add(Kind::kDict));
      return true;
    case 'd': {
      const auto items = pop_to_mark();
      push(tree_.add(Kind::kDict));
      set_items(top(), items);
      return true;
    }
    case 's': {
      const PickleValue* value = pop();
      const PickleValue* key = pop();
      set_items(top(), {key, value});
      return true;
    }
    case 'u': {
      const auto items = pop_to_mark();
      set_items(top(), items);
      return true;
    }
    default:
      return false;
  }
}

bool Unpickler::execute_object(unsigned char opcode) {
  switch (opcode) {
    case 'c': {
      const auto module = take_line();
      push_global(module, take_line());
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const PickleValue* name = pop();
      const PickleValue* module = pop();
      if (!name->is(Kind::kString) || !module->is(Kind::kString)) {
        fail("the pickle names a class by ", describe(*module), " and ", describe(*name));
      }
      push_global(module->text, name->text);
      return true;
    }
    case 'R': {
      PickleValue* arguments = pop();
      push(reduced(tree_, pop(), arguments));
      return true;
    }
    case 0x81: {  // NEWOBJ
      PickleValue* arguments = pop();
      push(constructed(tree_, pop(), arguments));
      return true;
    }
    case 0x92: {  // NEWOBJ_EX: keyword arguments as well, which no inert object needs
      pop();
      PickleValue* arguments = pop();
      push(constructed(tree_, pop(), arguments));
      return true;
    }
    case 'i': {  // INST: a call in protocol 0
      const auto module = take_line();
      push_global(module, take_line());
      PickleValue* callable = pop();
      push(reduced(tree_, callable, arguments_of(pop_to_mark())));
      return true;
    }
    case 'o': {  // OBJ: a call in protocol 1
      auto items = pop_to_mark();
      if (items.empty()) fail("the pickle calls nothing");
      auto* callable = const_cast<PickleValue*>(items.front());
      items.erase(items.begin());
      push(reduced(tree_, callable, arguments_of(std::move(items))));
      return true;
    }
    case 'b':
      build();
      return true;
    case 'Q':
      push(persistent_load_(pop()));
      return true;
    case 'P':
      push_text(Kind::kString, take_line());
      push(persistent_load_(pop()));
      return true;
    default:
      return false;
  }
}

bool Unpickler::execute_memo(unsigned char opcode) {
  switch (opcode) {
    case 'p': {
      const PickleValue* index = take_integer_line();
      memo_[static_cast<uint64_t>(index->integer)] = top();
      return true;
    }
    case 'q':
      memo_[take_unsigned(1)] = top();
      return true;
    case 'r':
      memo_[take_unsigned(4)] = top();
      return true;
    case 0x94:
      memo_[memo_.size()] = top();
      return true;  // MEMOIZE
    case 'g':
      recall(static_cast<uint64_t>(take_integer_line()->integer));
      return true;
    case 'h':
      recall(take_unsigned(1));
      return true;
    case 'j':
      recall(take_unsigned(4));
      return true;
    default:
      return false;
  }
}

void Unpickler::recall(uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) {
    fail("the pickle reads entry ", index, " of its memo, which was never stored");
  }
  push(found->second);
}

void Unpickler::push_global(std::string_view module, std::string_view name) {
  if (module.size() + name.size() > kMostNameBytes) {
    fail("the pickle names a class by ", module.size() + name.size(), " bytes, more than ",
         kMostNameBytes);
  }
  push_text(Kind::kGlobal, std::string(current_module(module)) + "." + std::string(name));
}

PickleValue* Unpickler::arguments_of(std::vector<const PickleValue*> items) {
  push_items(Kind::kTuple, std::move(items));
  return pop();
}

void Unpickler::build() {
  PickleValue* state = pop();
  PickleValue* target = top();
  // Attributes of a dictionary (state_dict's _metadata) and of a tensor have no use here.
  if (target->is(Kind::kDict) || target->is(Kind::kTensor)) return;
  if (!target->is(Kind::kObject)) fail("the pickle sets attributes of ", describe(*target));
  target->state = state;
}

}  // namespace gear::io
