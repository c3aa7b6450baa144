#include "base/jpeg.h"

// clang-format off
#include <cstdio>  // for jpeglib.h, which does not include it
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <csetjmp>
#include <string>
#include <utility>

#include "base/exif.h"

namespace cifar {
namespace {

// What libjpeg is given and leaves behind; a long jump out of it passes no destructor.
struct Decoder {
  jpeg_decompress_struct jpeg = {};  // first: the callbacks know it by this address
  jpeg_error_mgr errors = {};
  jpeg_progress_mgr progress = {};
  std::jmp_buf out = {};
  char message[JMSG_LENGTH_MAX] = {};

  ~Decoder() { jpeg_destroy_decompress(&jpeg); }
};

[[noreturn]] void leave(j_common_ptr jpeg) {
  auto* decoder = reinterpret_cast<Decoder*>(jpeg);
  jpeg->err->format_message(jpeg, decoder->message);
  std::longjmp(decoder->out, 1);
}

// A warning means pixels that are missing or wrong, but for these.
void judge(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_TOO_MUCH_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_NOT_SEQUENTIAL:
      return;
    default:
      leave(jpeg);
  }
}

// Each scan of a progressive file costs a pass over all pixels, however few bytes it has.
void limit_scans(j_common_ptr jpeg) {
  constexpr int kMostScans = 500;  // as TurboJPEG's TJFLAG_LIMITSCANS; real files have about ten
  if (reinterpret_cast<Decoder*>(jpeg)->jpeg.input_scan_number <= kMostScans) return;
  jpeg->err->msg_code = JERR_BAD_PROGRESSION;
  leave(jpeg);
}

// The two halves of decoding; false: message says why. No locals that a long jump would leave.
bool read_header(Decoder& decoder, std::string_view bytes) {
  jpeg_decompress_struct& jpeg = decoder.jpeg;
  jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = leave;
  decoder.errors.emit_message = judge;
  decoder.progress.progress_monitor = limit_scans;
  if (setjmp(decoder.out) != 0) return false;
  jpeg_create_decompress(&jpeg);
  jpeg.progress = &decoder.progress;
  jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&jpeg, TRUE);
  const bool inks = jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK;
  jpeg.out_color_space = inks ? JCS_CMYK : JCS_RGB;
  return true;
}

bool read_pixels(Decoder& decoder, uint8_t* pixels) {
  jpeg_decompress_struct& jpeg = decoder.jpeg;
  if (setjmp(decoder.out) != 0) return false;
  jpeg_start_decompress(&jpeg);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row =
        pixels + size_t{jpeg.output_scanline} * jpeg.output_width * jpeg.output_components;
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

// What paper shows under four inks. Adobe's programs, and all others after them, store 255 for no
// ink; without their marker it is 0.
std::vector<uint8_t> rgb_of_cmyk(const std::vector<uint8_t>& cmyk, bool inverted) {
  std::vector<uint8_t> rgb(cmyk.size() / 4 * 3);
  const auto light = [&](size_t i) { return inverted ? cmyk[i] : 255 - cmyk[i]; };
  uint8_t* to = rgb.data();
  for (size_t i = 0; i < cmyk.size(); i += 4) {
    for (size_t c = 0; c < 3; ++c) {
      *to++ = static_cast<uint8_t>((light(i + c) * light(i + 3) + 127) / 255);
    }
  }
  return rgb;
}

// Of the first EXIF data; 1, upright, without any.
int orientation_of(const jpeg_decompress_struct& jpeg) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  for (const auto* marker = jpeg.marker_list; marker != nullptr; marker = marker->next) {
    std::string_view tiff(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (!tiff.starts_with(kExif)) continue;  // another program's data
    return exif_orientation(tiff.substr(kExif.size()));
  }
  return 1;
}

}  // namespace

bool is_jpeg(std::string_view bytes) {
  return bytes.starts_with("\xff\xd8\xff");
}

RgbImage decode_jpeg(std::string_view bytes) {
  Decoder decoder;
  const auto check = [&decoder](bool done) {
    if (!done) throw std::runtime_error(std::string("JPEG: ") + decoder.message);
  };
  check(read_header(decoder, bytes));
  const jpeg_decompress_struct& jpeg = decoder.jpeg;
  refuse_giant_image(jpeg.image_width, jpeg.image_height);
  const bool inks = jpeg.out_color_space == JCS_CMYK;
  const int orientation = orientation_of(jpeg);  // libjpeg forgets it with the last row
  std::vector<uint8_t> pixels(size_t{jpeg.image_width} * jpeg.image_height * (inks ? 4 : 3));
  check(read_pixels(decoder, pixels.data()));
  RgbImage image{static_cast<int>(jpeg.image_width), static_cast<int>(jpeg.image_height),
                 inks ? rgb_of_cmyk(pixels, jpeg.saw_Adobe_marker) : std::move(pixels)};
  return upright(std::move(image), orientation);
}

}  // namespace cifar
