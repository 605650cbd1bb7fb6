#pragma once

#include "gear/io/pickle.h"

namespace gear::io {

/// What takes the place of `callable(*arguments)` in a pickle. A fixed list of names has a meaning
/// here (OrderedDict, the tensor builders of torch._utils, torch.Size ...), another fixed list of
/// plain data types becomes inert objects; any other name is an Error. Nothing is ever called.
PickleValue* reduced(PickleTree& tree, PickleValue* callable, PickleValue* arguments);

/// What takes the place of `cls.__new__(cls, *arguments)`: as above, but classes of other packages
/// become inert objects (training frameworks pickle callbacks and configurations). Classes of
/// modules that act on the machine, and unknown ones of torch and numpy, are an Error.
PickleValue* constructed(PickleTree& tree, PickleValue* cls, PickleValue* arguments);

}  // namespace gear::io
