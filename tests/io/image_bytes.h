#pragma once

#include <cstdio>
// jpeglib.h needs size_t and FILE, so it comes after the standard headers.
#include <jpeglib.h>
#include <tiffio.h>
#include <webp/encode.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

/// Small image files made byte by byte, or by the libraries themselves, for tests of the decoders.
namespace gear::io {

inline std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

inline std::string little_endian(uint32_t value, int count = 4) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

inline std::string bytes_of(const std::vector<int>& values) {
  return {values.begin(), values.end()};
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto crc =
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<uint32_t>(data.size())) + body +
         big_endian(static_cast<uint32_t>(crc));
}

inline std::string deflated(const std::string& bytes) {
  std::string out(compressBound(bytes.size()), '\0');
  uLongf size = out.size();
  compress(reinterpret_cast<Bytef*>(out.data()), &size,
           reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return out.substr(0, size);
}

struct PngParts {
  uint32_t width = 1, height = 1;
  int depth = 8, colour_type = 0, interlace = 0;
  std::string before_data{};  // chunks
  std::string rows{};         // each with its filter byte
};

inline std::string make_png(const PngParts& parts) {
  const std::string header = big_endian(parts.width) + big_endian(parts.height) +
                             bytes_of({parts.depth, parts.colour_type, 0, 0, parts.interlace});
  return "\x89PNG\r\n\x1A\n" + png_chunk("IHDR", header) + parts.before_data +
         png_chunk("IDAT", deflated(parts.rows)) + png_chunk("IEND", "");
}

struct JpegParts {
  unsigned width = 8, height = 8;
  int components = 3;
  J_COLOR_SPACE input = JCS_RGB, stored = JCS_YCbCr;
  std::vector<uint8_t> pixel{};   // every pixel is the same
  std::vector<uint8_t> pixels{};  // or all of them
  bool progressive = false;
  std::string app1{};                  // EXIF
  int luma_across = 2, luma_down = 2;  // samples of brightness for one of colour, in YCbCr
};

/// One colour everywhere has no rounding in the cosine transform, so the decoded values are known.
inline std::string make_jpeg(const JpegParts& parts) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = parts.width;
  info.image_height = parts.height;
  info.input_components = parts.components;
  info.in_color_space = parts.input;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, parts.stored);
  if (parts.stored == JCS_YCbCr) {
    info.comp_info[0].h_samp_factor = parts.luma_across;
    info.comp_info[0].v_samp_factor = parts.luma_down;
  }
  jpeg_set_quality(&info, 100, TRUE);
  if (parts.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  if (!parts.app1.empty()) {
    jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(parts.app1.data()),
                      static_cast<unsigned>(parts.app1.size()));
  }
  std::vector<uint8_t> row;
  for (unsigned x = 0; x < parts.width; ++x)
    row.insert(row.end(), parts.pixel.begin(), parts.pixel.end());
  while (info.next_scanline < info.image_height) {
    if (!parts.pixels.empty()) {
      const size_t bytes = size_t{parts.width} * static_cast<size_t>(parts.components);
      const auto begin = parts.pixels.begin() + static_cast<int64_t>(info.next_scanline * bytes);
      row.assign(begin, begin + static_cast<int64_t>(bytes));
    }
    JSAMPROW rows[] = {row.data()};
    jpeg_write_scanlines(&info, rows, 1);
  }
  jpeg_finish_compress(&info);
  std::string bytes(reinterpret_cast<char*>(memory), size);
  jpeg_destroy_compress(&info);
  std::free(memory);
  return bytes;
}

struct TiffEntry {
  uint32_t tag = 0, value = 0;  // one number of 32 bits
};

/// A TIFF whose only directory holds these entries, with 16 zero bytes at offset 8. For what
/// libtiff would not write.
inline std::string make_tiff(const std::vector<TiffEntry>& entries) {
  constexpr uint32_t kLong = 4, kData = 16;
  std::string bytes = std::string("II*\0", 4) + little_endian(8 + kData) +
                      std::string(kData, '\0') +
                      little_endian(static_cast<uint32_t>(entries.size()), 2);
  for (const auto& [tag, value] : entries) {
    bytes += little_endian(tag, 2) + little_endian(kLong, 2) + little_endian(1);
    bytes += little_endian(value);
  }
  return bytes + little_endian(0);
}

struct TiffParts {
  uint32_t width = 1, height = 1;
  int bits = 8, samples = 3, photometric = PHOTOMETRIC_RGB, compression = COMPRESSION_LZW;
  int format = SAMPLEFORMAT_UINT, planar = PLANARCONFIG_CONTIG, orientation = 1, extra = -1;
  uint32_t tile = 0;                // side; 0: strips of one row
  std::vector<uint16_t> colours{};  // red, green, blue tables behind each other
  std::string pixels{};             // native byte order; plane after plane where separate
};

inline void write_tiff(const std::filesystem::path& path, const TiffParts& parts) {
  TIFF* tiff = TIFFOpen(path.c_str(), "w");
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, parts.width);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, parts.height);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, parts.bits);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, parts.samples);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, parts.photometric);
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, parts.compression);
  TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, parts.format);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, parts.planar);
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, parts.orientation);
  if (parts.extra >= 0) {
    const auto kind = static_cast<uint16_t>(parts.extra);
    TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &kind);
  }
  if (!parts.colours.empty()) {
    const uint16_t* table = parts.colours.data();
    const size_t third = parts.colours.size() / 3;
    TIFFSetField(tiff, TIFFTAG_COLORMAP, table, table + third, table + 2 * third);
  }
  auto* data = const_cast<char*>(parts.pixels.data());
  if (parts.tile > 0) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, parts.tile);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, parts.tile);
    const tmsize_t tile_bytes = TIFFTileSize(tiff);
    for (uint32_t i = 0; i * tile_bytes < static_cast<tmsize_t>(parts.pixels.size()); ++i) {
      TIFFWriteEncodedTile(tiff, i, data + i * tile_bytes, tile_bytes);
    }
  } else {
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 1);
    const tmsize_t row_bytes = TIFFScanlineSize(tiff);
    for (uint32_t i = 0; i * row_bytes < static_cast<tmsize_t>(parts.pixels.size()); ++i) {
      TIFFWriteEncodedStrip(tiff, i, data + i * row_bytes, row_bytes);
    }
  }
  TIFFClose(tiff);
}

inline std::string make_webp(const std::vector<uint8_t>& rgba, int width, int height) {
  uint8_t* memory = nullptr;
  const size_t size = WebPEncodeLosslessRGBA(rgba.data(), width, height, 4 * width, &memory);
  std::string bytes(reinterpret_cast<char*>(memory), size);
  WebPFree(memory);
  return bytes;
}

}  // namespace gear::io
