#pragma once

#include <torch/types.h>

#include <array>
#include <string_view>
#include <utility>

/// How pickles of PyTorch name the types of storages and elements.
namespace gear::io {

inline constexpr std::array<std::pair<std::string_view, at::ScalarType>, 15> kStorageTypes{{
    {"torch.DoubleStorage", at::kDouble},
    {"torch.FloatStorage", at::kFloat},
    {"torch.HalfStorage", at::kHalf},
    {"torch.BFloat16Storage", at::kBFloat16},
    {"torch.LongStorage", at::kLong},
    {"torch.IntStorage", at::kInt},
    {"torch.ShortStorage", at::kShort},
    {"torch.CharStorage", at::kChar},
    {"torch.ByteStorage", at::kByte},
    {"torch.BoolStorage", at::kBool},
    {"torch.ComplexFloatStorage", at::kComplexFloat},
    {"torch.ComplexDoubleStorage", at::kComplexDouble},
    {"torch.UntypedStorage", at::kByte},
    {"torch.storage.UntypedStorage", at::kByte},
    {"torch.storage._UntypedStorage", at::kByte},
}};

/// The dtypes that torch._utils._rebuild_tensor_v3 serves, over a storage of plain bytes.
inline constexpr std::array<std::pair<std::string_view, at::ScalarType>, 8> kUntypedDtypes{{
    {"torch.uint16", at::kUInt16},
    {"torch.uint32", at::kUInt32},
    {"torch.uint64", at::kUInt64},
    {"torch.float8_e4m3fn", at::kFloat8_e4m3fn},
    {"torch.float8_e4m3fnuz", at::kFloat8_e4m3fnuz},
    {"torch.float8_e5m2", at::kFloat8_e5m2},
    {"torch.float8_e5m2fnuz", at::kFloat8_e5m2fnuz},
    {"torch.float8_e8m0fnu", at::kFloat8_e8m0fnu},
}};

}  // namespace gear::io
