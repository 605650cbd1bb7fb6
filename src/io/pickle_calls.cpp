#include "io/pickle_calls.h"

#include <set>
#include <string_view>

#include "gear/core/error.h"

namespace gear::io {
namespace {

using Kind = PickleValue::Kind;

/// Data types of which a record of the arguments is kept; none of them reaches a weight.
const std::set<std::string_view> kInertCalls = {
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.frozenset",
    "builtins.object",
    "builtins.range",
    "builtins.set",
    "builtins.slice",
    "collections.Counter",
    "collections.deque",
    "copyreg._reconstructor",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch.device",
    "torch.torch_version.TorchVersion",
    "uuid.UUID",
};

/// Packages whose enumerations and configuration objects are found in training checkpoints.
const std::set<std::string_view> kInertPackages = {"lightning", "lightning_fabric", "omegaconf",
                                                   "pytorch_lightning"};

/// Modules whose classes, beyond those listed above, do not belong into a checkpoint. Of modules
/// that act on the machine, a file that builds one is an attack; torch and numpy have nothing else
/// that weights are made of.
const std::set<std::string_view> kRefusedPackages = {
    "_posixsubprocess", "asyncio",   "builtins",  "code",       "codeop",     "commands",
    "ctypes",           "functools", "importlib", "io",         "linecache",  "marshal",
    "multiprocessing",  "nt",        "numpy",     "operator",   "os",         "pdb",
    "pickle",           "platform",  "posix",     "pty",        "runpy",      "shutil",
    "signal",           "socket",    "ssl",       "subprocess", "sys",        "tempfile",
    "threading",        "timeit",    "torch",     "types",      "webbrowser", "zipimport"};

std::string_view package_of(std::string_view name) { return name.substr(0, name.find('.')); }

[[noreturn]] void refuse(const std::string& name) {
  fail("the pickle calls ", name,
       ", which is not on the list of harmless names; nothing was called. If you trust the file, "
       "save only its state_dict, or convert it to safetensors");
}

PickleValue* inert_object(PickleTree& tree, const std::string& name, const PickleValue& arguments) {
  PickleValue* object = tree.add(Kind::kObject);
  object->text = name;
  object->items = arguments.items;
  return object;
}

/// OrderedDict() or OrderedDict([[key, value], ...]), the spelling of Python 2.
PickleValue* ordered_dict(PickleTree& tree, const PickleValue& arguments) {
  PickleValue* dict = tree.add(Kind::kDict);
  if (arguments.items.empty()) return dict;
  if (arguments.items.size() != 1 || !arguments.items[0]->is(Kind::kList)) {
    fail("the pickle makes an OrderedDict of something that is not a list of pairs");
  }
  tree.charge(arguments.items[0]->items.size());
  for (const PickleValue* pair : arguments.items[0]->items) {
    if (pair->items.size() != 2) fail("the pickle makes an OrderedDict of an entry without value");
    dict->entries.emplace_back(pair->items[0], pair->items[1]);
  }
  return dict;
}

/// A tensor whose `items` are the arguments (storage, offset, size, stride, ...); TorchArchive
/// fills in the values once the storages are known.
PickleValue* described_tensor(PickleTree& tree, const std::string& name,
                              const PickleValue& arguments) {
  PickleValue* tensor = tree.add(Kind::kTensor);
  tensor->text = name;
  tensor->items = arguments.items;
  return tensor;
}

/// _rebuild_parameter(tensor, requires_grad, hooks[, state]) is its tensor.
PickleValue* parameter(const PickleValue& arguments) {
  if (arguments.items.empty() || !arguments.items[0]->is(Kind::kTensor)) {
    fail("the pickle makes a parameter of something that is not a tensor");
  }
  return const_cast<PickleValue*>(
      arguments.items[0]);  // owned by the tree, which is ours to change
}

/// LibTorch's C++ writer tags lists and dictionaries with their type: restore_type_tag(value,
/// type).
PickleValue* untagged(const PickleValue& arguments) {
  if (arguments.items.empty()) fail("the pickle restores the type of nothing");
  return const_cast<PickleValue*>(arguments.items[0]);
}

PickleValue* torch_size(PickleTree& tree, const PickleValue& arguments) {
  PickleValue* tuple = tree.add(Kind::kTuple);
  if (arguments.items.empty()) return tuple;
  tree.charge(arguments.items[0]->items.size());
  tuple->items = arguments.items[0]->items;
  return tuple;
}

/// Values that have a meaning here, or nullptr.
PickleValue* known_value(PickleTree& tree, const std::string& name, const PickleValue& arguments) {
  if (name == "collections.OrderedDict") return ordered_dict(tree, arguments);
  if (name == "collections.defaultdict" || (name == "builtins.dict" && arguments.items.empty())) {
    return tree.add(Kind::kDict);  // the factory of missing values has no use here
  }
  if (name == "torch.jit._pickle.restore_type_tag") return untagged(arguments);
  if (name == "torch.Size") return torch_size(tree, arguments);
  if (name == "torch._utils._rebuild_tensor" || name == "torch._utils._rebuild_tensor_v2" ||
      name == "torch._utils._rebuild_tensor_v3") {
    return described_tensor(tree, name, arguments);
  }
  if (name == "torch._utils._rebuild_parameter" ||
      name == "torch._utils._rebuild_parameter_with_state") {
    return parameter(arguments);
  }
  return nullptr;
}

void check_call(PickleTree& tree, const PickleValue& callable, const PickleValue& arguments) {
  if (!callable.is(Kind::kGlobal)) fail("the pickle calls ", describe(callable));
  if (!arguments.is(Kind::kTuple)) {
    fail("the pickle calls ", callable.text, " with ", describe(arguments), " for arguments");
  }
  tree.charge(arguments.items.size());
}

}  // namespace

PickleValue* reduced(PickleTree& tree, PickleValue* callable, PickleValue* arguments) {
  check_call(tree, *callable, *arguments);
  if (callable->text == "torch._tensor._rebuild_from_type_v2") {
    // (function, type, arguments, state): a tensor subclass, kept as the plain tensor.
    if (arguments->items.size() != 4) fail("the pickle rebuilds a tensor subclass from nothing");
    callable = const_cast<PickleValue*>(arguments->items[0]);
    arguments = const_cast<PickleValue*>(arguments->items[2]);
    check_call(tree, *callable, *arguments);
  }
  const std::string& name = callable->text;
  if (PickleValue* value = known_value(tree, name, *arguments)) return value;
  if (!kInertCalls.contains(name) && !kInertPackages.contains(package_of(name))) refuse(name);
  return inert_object(tree, name, *arguments);
}

PickleValue* constructed(PickleTree& tree, PickleValue* cls, PickleValue* arguments) {
  check_call(tree, *cls, *arguments);
  if (PickleValue* value = known_value(tree, cls->text, *arguments)) return value;
  if (kRefusedPackages.contains(package_of(cls->text)) && !kInertCalls.contains(cls->text)) {
    refuse(cls->text);
  }
  return inert_object(tree, cls->text, *arguments);
}

}  // namespace gear::io
