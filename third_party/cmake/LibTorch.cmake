# gear::libtorch   LibTorch as scripts/setup installs it: headers (SYSTEM), libraries, run path
# gear::cuda       what sources that speak to CUDA need beside it; nothing in a build without CUDA
# GEAR_WITH_CUDA   whether this build has CUDA; what GEAR_CUDA (AUTO, ON, OFF) comes to here. Also a
#                  definition for sources that see gear::cuda.
#
# A CPU build links libtorch_cpu and libc10 alone, so it needs neither a CUDA toolkit nor the NVIDIA
# wheels. A CUDA build links libtorch_cuda too and starts on a machine without a driver.

set(GEAR_LIBTORCH_DIR "${PROJECT_SOURCE_DIR}/.deps/libtorch" CACHE PATH
    "Folder with torch/ and nvidia/ in it, laid out like site-packages")
set(GEAR_CUDA_ARCHS "80;90" CACHE STRING "GPU architectures to compile kernels for")

set(GEAR_TORCH_LIB "${GEAR_LIBTORCH_DIR}/torch/lib")
set(GEAR_NVIDIA_LIB "${GEAR_LIBTORCH_DIR}/nvidia/cu13/lib")

if(NOT EXISTS "${GEAR_TORCH_LIB}/libtorch_cpu.so" OR
   NOT EXISTS "${GEAR_NVIDIA_LIB}/libcupti.so.13")
  message(FATAL_ERROR "LibTorch is missing from ${GEAR_LIBTORCH_DIR}: run scripts/setup, "
                      "or set GEAR_LIBTORCH_DIR.")
endif()

# --- Is it a CUDA build? ------------------------------------------------------------------------

find_program(GEAR_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda/bin)
mark_as_advanced(GEAR_NVCC)

set(GEAR_WITH_CUDA OFF)
if(GEAR_CUDA STREQUAL "AUTO")
  if(GEAR_NVCC AND (EXISTS /proc/driver/nvidia/version OR EXISTS /dev/nvidiactl))
    set(GEAR_WITH_CUDA ON)
  endif()
elseif(GEAR_CUDA)
  set(GEAR_WITH_CUDA ON)
endif()

if(GEAR_WITH_CUDA)
  if(NOT GEAR_NVCC)
    message(FATAL_ERROR "GEAR_CUDA=ON needs nvcc of a CUDA 13 toolkit on PATH; "
                        "without one, configure with GEAR_CUDA=OFF.")
  endif()
  if(NOT EXISTS "${GEAR_LIBTORCH_DIR}/nvidia/cudnn/lib/libcudnn.so.9" OR
     NOT EXISTS "${GEAR_LIBTORCH_DIR}/nvidia/nccl/lib/libnccl.so.2")
    message(FATAL_ERROR "A CUDA build needs LibTorch's NVIDIA libraries: run scripts/setup --cuda, "
                        "or configure with GEAR_CUDA=OFF.")
  endif()

  set(CMAKE_CUDA_COMPILER "${GEAR_NVCC}")
  set(CMAKE_CUDA_ARCHITECTURES "${GEAR_CUDA_ARCHS}")
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # LibTorch's own is linked below; two must not meet
  if(CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13 OR
     NOT CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 14)
    message(FATAL_ERROR "LibTorch is built for CUDA 13, but ${GEAR_NVCC} is of "
                        "${CMAKE_CUDA_COMPILER_VERSION}; put nvcc 13 first on PATH.")
  endif()
  set(CMAKE_CUDA_STANDARD 17)  # CMake 3.25 knows no C++20 for nvcc 13
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  string(APPEND CMAKE_CUDA_FLAGS " --expt-relaxed-constexpr --expt-extended-lambda"
                                 " --Werror all-warnings -Xcompiler=-Wall,-Wextra,-Werror")
  find_package(CUDAToolkit REQUIRED)
endif()
message(STATUS "CUDA: ${GEAR_WITH_CUDA} (GEAR_CUDA=${GEAR_CUDA})")

# --- The target ---------------------------------------------------------------------------------

file(GLOB nvidia_libs LIST_DIRECTORIES ON "${GEAR_LIBTORCH_DIR}/nvidia/*/lib")
list(TRANSFORM nvidia_libs PREPEND "-Wl,-rpath-link," OUTPUT_VARIABLE rpath_link)

add_library(gear::libtorch INTERFACE IMPORTED GLOBAL)  # imported: its headers count as SYSTEM
target_include_directories(gear::libtorch INTERFACE
  "${GEAR_LIBTORCH_DIR}/torch/include"
  "${GEAR_LIBTORCH_DIR}/torch/include/torch/csrc/api/include")
target_compile_definitions(gear::libtorch INTERFACE _GLIBCXX_USE_CXX11_ABI=1 USE_C10D_GLOO)
# Without OpenMP at::parallel_for, which is a template, would be a plain loop. (As it is under clang,
# for the fuzzers: its OpenMP and the one of LibTorch are two.)
target_compile_options(gear::libtorch INTERFACE
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fopenmp>)
target_link_options(gear::libtorch INTERFACE ${rpath_link})
target_link_libraries(gear::libtorch INTERFACE
  "${GEAR_TORCH_LIB}/libtorch_cpu.so" "${GEAR_TORCH_LIB}/libc10.so"
  "${GEAR_TORCH_LIB}/libgomp.so.1")

if(GEAR_WITH_CUDA)
  # libtorch_cuda registers its kernels when it is loaded, so it stays even if no symbol is used.
  target_link_libraries(gear::libtorch INTERFACE
    -Wl,--push-state,--no-as-needed "${GEAR_TORCH_LIB}/libtorch_cuda.so" -Wl,--pop-state
    "${GEAR_TORCH_LIB}/libc10_cuda.so" "${GEAR_NVIDIA_LIB}/libcudart.so.13"
    "${GEAR_LIBTORCH_DIR}/nvidia/nccl/lib/libnccl.so.2")
endif()

# What sources that speak to CUDA need beside it. Only they are compiled differently in a CUDA build,
# so that the compiler cache serves all others to both kinds of build.
add_library(gear::cuda INTERFACE IMPORTED GLOBAL)
if(GEAR_WITH_CUDA)
  file(GLOB nvidia_headers LIST_DIRECTORIES ON "${GEAR_LIBTORCH_DIR}/nvidia/*/include")
  target_include_directories(gear::cuda INTERFACE ${CUDAToolkit_INCLUDE_DIRS} ${nvidia_headers})
  target_compile_definitions(gear::cuda INTERFACE GEAR_WITH_CUDA=1 USE_C10D_NCCL)
endif()
