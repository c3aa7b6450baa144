#include "base/png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <utility>

#include "base/exif.h"

namespace cifar {
namespace {

// What libpng is given and leaves behind; a long jump out of it passes no destructor. Not its
// simplified interface: version 1.6.39 of that garbles interlaced files of 16 bits.
struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string_view rest;  // of the file
  std::jmp_buf out = {};
  char message[128] = {};

  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void leave(png_structp png, png_const_charp message) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::strncpy(decoder->message, message, sizeof(decoder->message) - 1);
  std::longjmp(decoder->out, 1);
}

void ignore(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep to, size_t count) {
  std::string_view& rest = static_cast<Decoder*>(png_get_io_ptr(png))->rest;
  if (count > rest.size()) leave(png, "it is cut off");
  std::copy_n(rest.data(), count, reinterpret_cast<char*>(to));
  rest.remove_prefix(count);
}

// The two halves of decoding; false: message says why. No locals that a long jump would leave.
bool read_header(Decoder& decoder) {
  if (setjmp(decoder.out) != 0) return false;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, leave, ignore);
  if (decoder.png != nullptr) decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) return false;
  png_set_read_fn(decoder.png, &decoder, read_bytes);
  png_read_info(decoder.png, decoder.info);
  png_set_expand(decoder.png);  // palettes, fewer than 8 bits, a colour that is transparent
  png_set_scale_16(decoder.png);
  png_set_gray_to_rgb(decoder.png);
  png_set_add_alpha(decoder.png, 255, PNG_FILLER_AFTER);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  return true;
}

bool read_pixels(Decoder& decoder, png_bytepp rows) {
  if (setjmp(decoder.out) != 0) return false;
  png_read_image(decoder.png, rows);
  return true;
}

// What stands behind the pixels. That it is damaged or missing, IEND too, harms no pixel, and other
// readers show such a picture.
void read_rest(Decoder& decoder) {
  if (setjmp(decoder.out) != 0) return;
  png_read_end(decoder.png, decoder.info);
}

int orientation_of(const Decoder& decoder) {
  png_uint_32 size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(decoder.png, decoder.info, &size, &exif) == 0) return 1;
  return exif_orientation({reinterpret_cast<const char*>(exif), size});
}

constexpr const char* kApples =
    "in a form of Apple's (CgBI); `pngcrush -revert-iphone-optimizations` makes it a PNG again";

// What Apple's tools make of the PNG files of an app: only their own readers know it.
bool is_apples(std::string_view bytes) {
  constexpr size_t kFirstChunk = 12;  // its name, behind the signature and its length
  return bytes.size() > kFirstChunk && bytes.substr(kFirstChunk).starts_with("CgBI");
}

uint8_t on_white(unsigned value, unsigned alpha) {
  return static_cast<uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

void check(bool done, const char* message) {
  if (!done) throw std::runtime_error(std::string("PNG: ") + message);
}

}  // namespace

bool is_png(std::string_view bytes) {
  return bytes.starts_with("\x89PNG\r\n\x1a\n");
}

RgbImage decode_png(std::string_view bytes) {
  check(!is_apples(bytes), kApples);
  Decoder decoder;
  decoder.rest = bytes;
  check(read_header(decoder), decoder.message);
  const size_t width = png_get_image_width(decoder.png, decoder.info);
  const size_t height = png_get_image_height(decoder.png, decoder.info);
  refuse_giant_image(width, height);
  // Deflate packs 1032 bytes into one at best, and a pixel has a bit at least.
  check(width * height / 8 / 1032 <= bytes.size(), "too short for its size in pixels");

  std::vector<uint8_t> rgba(width * height * 4);
  std::vector<png_bytep> rows(height);
  for (size_t y = 0; y < height; ++y) rows[y] = rgba.data() + y * width * 4;
  check(png_get_rowbytes(decoder.png, decoder.info) == width * 4, "pixels of an unknown kind");
  check(read_pixels(decoder, rows.data()), decoder.message);
  read_rest(decoder);
  RgbImage image{static_cast<int>(width), static_cast<int>(height)};
  image.rgb.resize(rgba.size() / 4 * 3);
  uint8_t* to = image.rgb.data();
  for (size_t i = 0; i < rgba.size(); i += 4) {
    for (size_t c = 0; c < 3; ++c) *to++ = on_white(rgba[i + c], rgba[i + 3]);
  }
  return upright(std::move(image), orientation_of(decoder));
}

std::string encode_png(const RgbImage& image) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string bytes(size, '\0');
  const int done =
      png_image_write_to_memory(&png, bytes.data(), &size, 0, image.rgb.data(), 0, nullptr);
  check(done != 0, png.message);
  bytes.resize(size);
  return bytes;
}

}  // namespace cifar
