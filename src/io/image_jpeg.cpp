#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <utility>
// jpeglib.h needs size_t and FILE, so it comes after the standard headers.
#include <jerror.h>
#include <jpeglib.h>

#include "image_formats.h"

namespace gear::io {
namespace {

/// libjpeg reports errors by a callback that must not return, so it jumps. Everything with a
/// destructor lives in this object, outside the functions that the jump leaves.
class JpegReader {
 public:
  explicit JpegReader(const ImageSource& source) : source_(source) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = [](j_common_ptr info) {
      auto* errors = reinterpret_cast<Errors*>(info->err);
      info->err->format_message(info, errors->message);
      std::longjmp(errors->jump, 1);
    };
    errors_.base.output_message = [](j_common_ptr) {};  // warnings are no errors, as in Pillow
    progress_.progress_monitor = &JpegReader::check_scans;
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  Image read() {
    if (!read_header()) fail_damaged();
    source_.check_size(info_.image_width, info_.image_height);
    if (info_.num_components == 2 || info_.num_components > 4) {
      source_.fail("JPEG of ", info_.num_components, " colour components; expected 1, 3 or 4");
    }
    note_orientation();
    image_ = Image(info_.image_width, info_.image_height);
    if (info_.num_components == 4) cmyk_row_.resize(info_.image_width * size_t{4});
    if (!read_pixels(wanted())) fail_damaged();
    return std::move(image_);
  }

 private:
  struct Errors {
    jpeg_error_mgr base;
    std::jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
  };

  [[noreturn]] void fail_damaged() const { source_.fail("damaged JPEG: ", errors_.message); }

  /// Progressive files have about ten scans. Each goes over the whole picture, so that a small file
  /// of thousands would take hours.
  static void check_scans(j_common_ptr info) {
    constexpr int kMostScans = 500;
    if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostScans) return;
    auto* errors = reinterpret_cast<Errors*>(info->err);
    std::snprintf(errors->message, sizeof errors->message, "more than %d scans", kMostScans);
    std::longjmp(errors->jump, 1);
  }

  bool read_header() {
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_decompress(&info_);
    info_.progress = &progress_;
    set_memory_source();
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);  // EXIF
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  bool read_pixels(const Window& wanted) {
    if (setjmp(errors_.jump) != 0) return false;
    const bool cmyk = info_.num_components == 4;
    info_.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info_);
    const size_t left = crop_columns(wanted);
    skip_rows_until(wanted.top);
    while (info_.output_scanline < info_.output_height) {
      const auto y = static_cast<int64_t>(info_.output_scanline);
      JSAMPROW row = cmyk ? cmyk_row_.data() : image_.row(y) + 3 * left;
      jpeg_read_scanlines(&info_, &row, 1);
      if (cmyk) convert_cmyk(image_.row(y));
      // The last row is always read, and all entropy-coded data with it, which may be damaged.
      if (y + 1 == wanted.top + wanted.height) skip_rows_until(image_.height - 1);
    }
    jpeg_finish_decompress(&info_);  // reads to the end marker: a file cut after it is complete
    return true;
  }

  /// What the caller will look at. All of it, where the window would have to be turned or where it
  /// is not certain that a part comes out as it does from the whole.
  Window wanted() const {
    const Window all = {0, 0, image_.height, image_.width};
    const bool turned = source_.options.exif == Exif::kApply && source_.notes.orientation != 1;
    if (!source_.options.wanted || turned || !has_usual_sampling()) return all;
    return source_.options.wanted(image_.height, image_.width);
  }

  /// Grey, or YCbCr with colours of full or half resolution.
  bool has_usual_sampling() const {
    if (info_.num_components == 1) return true;
    if (info_.num_components != 3 || info_.jpeg_color_space != JCS_YCbCr) return false;
    const auto& luma = info_.comp_info[0];
    for (int i = 1; i < 3; ++i) {
      const auto& colour = info_.comp_info[i];
      if (colour.h_samp_factor != 1 || colour.v_samp_factor != 1) return false;
    }
    return luma.h_samp_factor <= 2 && luma.v_samp_factor <= 2;
  }

  /// Leaves out columns beside the window, as far as whole blocks go; returns the first one left.
  /// Colours of half resolution are interpolated with their neighbours, so a block more stays on
  /// either side.
  size_t crop_columns(const Window& wanted) {
    if (wanted.width == image_.width) return 0;
    const auto block = static_cast<int64_t>(DCTSIZE * info_.max_h_samp_factor);
    const int64_t first = std::max<int64_t>(wanted.left - block, 0);
    const int64_t end = std::min(wanted.left + wanted.width + block, image_.width);
    auto left = static_cast<JDIMENSION>(first);
    auto width = static_cast<JDIMENSION>(end - first);
    jpeg_crop_scanline(&info_, &left, &width);
    return left;
  }

  void skip_rows_until(int64_t row) {
    const int64_t rows = row - static_cast<int64_t>(info_.output_scanline);
    if (rows > 0) jpeg_skip_scanlines(&info_, static_cast<JDIMENSION>(rows));
  }

  /// Such files hold inverted inks, with or without the Adobe marker that announces it.
  void convert_cmyk(uint8_t* rgb) const {
    for (size_t x = 0; x < info_.image_width; ++x) {
      uint8_t ink[4];
      for (size_t i = 0; i < 4; ++i) ink[i] = static_cast<uint8_t>(255 - cmyk_row_[4 * x + i]);
      cmyk_to_rgb(ink, rgb + 3 * x);
    }
  }

  void note_orientation() const {
    using namespace std::string_view_literals;
    constexpr auto kHeader = "Exif\0\0"sv;
    for (const jpeg_marker_struct* marker = info_.marker_list; marker != nullptr;
         marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (marker->marker != JPEG_APP0 + 1 || !data.starts_with(kHeader)) continue;
      source_.notes.orientation = exif_orientation(data.substr(kHeader.size()));
      return;
    }
  }

  /// libjpeg's own memory source makes up an end marker when the data run out; here that is an
  /// error.
  void set_memory_source() {
    memory_.next_input_byte = source_.data();
    memory_.bytes_in_buffer = source_.bytes.size();
    memory_.init_source = [](j_decompress_ptr) {};
    memory_.fill_input_buffer = [](j_decompress_ptr info) -> boolean {
      ERREXIT(info, JERR_INPUT_EOF);
      return FALSE;
    };
    memory_.skip_input_data = [](j_decompress_ptr info, long count) {
      if (count <= 0) return;
      if (static_cast<size_t>(count) > info->src->bytes_in_buffer) ERREXIT(info, JERR_INPUT_EOF);
      info->src->next_input_byte += count;
      info->src->bytes_in_buffer -= static_cast<size_t>(count);
    };
    memory_.resync_to_restart = &jpeg_resync_to_restart;
    memory_.term_source = [](j_decompress_ptr) {};
    info_.src = &memory_;
  }

  const ImageSource& source_;
  jpeg_decompress_struct info_{};
  Errors errors_{};
  jpeg_source_mgr memory_{};
  jpeg_progress_mgr progress_{};
  Image image_;
  std::vector<uint8_t> cmyk_row_;  // [W, 4]
};

}  // namespace

Image decode_jpeg(const ImageSource& source) { return JpegReader(source).read(); }

}  // namespace gear::io
