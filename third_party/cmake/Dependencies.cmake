# What Debian's packages provide, as one target for each use. A missing one is named with its package.
#
#   gear::spdlog          log lines (never together with LibTorch's headers: two versions of fmt)
#   gear::yaml            YAML
#   gear::json            JSON
#   gear::cli11           command line
#   gear::io_libraries    JPEG, PNG, WebP, TIFF, zlib, SHA-256 (OpenSSL), JSON
#   gear::font_libraries  FreeType, HarfBuzz
#   gear::gtest           GoogleTest and GoogleMock, with main

# gear_library(NAME HEADER LIBRARY PACKAGE [SUFFIX...]): gear::NAME from a header and a library.
function(gear_library name header library package)
  find_path(GEAR_${name}_HEADERS ${header} PATH_SUFFIXES ${ARGN})
  find_library(GEAR_${name}_LIBRARY ${library})
  mark_as_advanced(GEAR_${name}_HEADERS GEAR_${name}_LIBRARY)
  if(NOT GEAR_${name}_HEADERS OR NOT GEAR_${name}_LIBRARY)
    message(FATAL_ERROR "${header} or lib${library} is missing: run scripts/setup, "
                        "or install the package ${package}.")
  endif()
  add_library(gear::${name} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(gear::${name} INTERFACE "${GEAR_${name}_LIBRARY}")
  if(NOT GEAR_${name}_HEADERS STREQUAL "/usr/include")
    target_include_directories(gear::${name} INTERFACE "${GEAR_${name}_HEADERS}")
  endif()
endfunction()

# gear_use(NAME TARGET...): gear::NAME is these targets together.
function(gear_use name)
  add_library(gear::${name} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(gear::${name} INTERFACE ${ARGN})
endfunction()

# find_package with a sentence about the package when it is not there.
macro(gear_find name package)
  find_package(${name} QUIET ${ARGN})
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "${name} is missing: run scripts/setup, or install the package ${package}.")
  endif()
endmacro()

gear_find(Threads libc6-dev)
gear_find(spdlog libspdlog-dev)
gear_find(yaml-cpp libyaml-cpp-dev)
gear_find(nlohmann_json nlohmann-json3-dev)
gear_find(CLI11 libcli11-dev)
gear_find(JPEG libjpeg62-turbo-dev)
gear_find(PNG libpng-dev)
gear_find(TIFF libtiff-dev)
gear_find(ZLIB zlib1g-dev)
gear_find(OpenSSL libssl-dev)
gear_find(Freetype libfreetype-dev)

gear_library(webp webp/decode.h webp libwebp-dev)
gear_library(webpdemux webp/demux.h webpdemux libwebp-dev)
gear_library(harfbuzz hb.h harfbuzz libharfbuzz-dev harfbuzz)

gear_use(spdlog spdlog::spdlog)
gear_use(yaml yaml-cpp)
gear_use(json nlohmann_json::nlohmann_json)
gear_use(cli11 CLI11::CLI11)
gear_use(io_libraries JPEG::JPEG PNG::PNG TIFF::TIFF ZLIB::ZLIB OpenSSL::Crypto gear::webpdemux gear::webp
         gear::json Threads::Threads)
gear_use(font_libraries Freetype::Freetype gear::harfbuzz)

if(GEAR_TESTS)
  gear_find(GTest "libgtest-dev and libgmock-dev")
  gear_use(gtest GTest::gmock_main GTest::gmock GTest::gtest)
  gear_find(benchmark libbenchmark-dev)
endif()

# GCC 12 takes `"text" + string` for overlapping memory, and inserting text into a string for a write
# past its end (its bug 105651 and others like it).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict;-Wno-stringop-overflow>")
endif()
