#pragma once

#include <torch/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gear::io {

/// A tensor as a pickle describes it; its values are read when they are asked for.
struct PickledTensor {
  std::vector<int64_t> sizes;
  at::ScalarType dtype = at::kFloat;
  /// A view of its storage over the mapped file; where the storage is not aligned in the file, a
  /// view of a copy that lives no longer than its tensors.
  std::function<at::Tensor()> values;
};

/// One value of a pickle, as inert data. Values refer to each other by pointer (a pickle may share
/// and even nest values in themselves); a PickleTree owns them all.
struct PickleValue {
  enum class Kind {
    kNone,
    kBool,
    kInt,
    kBigInt,  ///< beyond 64 bits: `text` holds its little-endian two's complement
    kFloat,
    kString,
    kBytes,
    kTuple,
    kList,
    kSet,
    kDict,    ///< any mapping: `entries` in the order they were set
    kGlobal,  ///< a class or function by name ("collections.OrderedDict"), never imported
    kObject,  ///< an instance of the class named in `text`, never constructed
    kStorage,
    kTensor,
  };

  Kind kind = Kind::kNone;
  int64_t integer = 0;  // kBool, kInt
  double real = 0.0;    // kFloat
  std::string text;     // kString, kBytes, kBigInt; the name of kGlobal and kObject
  std::vector<const PickleValue*> items;  // elements; for kObject what its constructor was given
  std::vector<std::pair<const PickleValue*, const PickleValue*>> entries;
  const PickleValue* state = nullptr;  // kObject: what was handed to __setstate__, often a kDict
  std::shared_ptr<const PickledTensor> tensor;  // kTensor, once its storage is found

  bool is(Kind other) const { return kind == other; }

  /// The value of a string key of a kDict, or of an attribute of a kObject; nullptr when absent.
  const PickleValue* find(std::string_view key) const;
};

/// "a dictionary", "an object of class argparse.Namespace": for messages.
std::string describe(const PickleValue& value);

/// Owns the values of one file. A deque keeps their addresses and destroys them without recursion,
/// however deep they nest.
class PickleTree {
 public:
  /// For the values of a file of `file_bytes` bytes.
  explicit PickleTree(size_t file_bytes);

  /// A new value. Throws Error beyond a number that no checkpoint of this size reaches.
  PickleValue* add(PickleValue::Kind kind);
  /// Counts `items` copied by one opcode against the same limit: a few bytes of a hostile pickle
  /// could otherwise copy a long list again and again.
  void charge(size_t items);
  std::deque<PickleValue>& values() { return values_; }
  const std::deque<PickleValue>& values() const { return values_; }

 private:
  std::deque<PickleValue> values_;
  size_t most_;
  size_t charged_ = 0;
};

}  // namespace gear::io
