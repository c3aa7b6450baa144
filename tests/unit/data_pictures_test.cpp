// Pictures of any size become 32x32: against PIL's numbers, and where the answer is plain.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/exif.h"
#include "base/jpeg.h"
#include "base/png.h"
#include "base64.h"
#include "data/pictures.h"
#include "python_reference.h"
#include "refusal.h"
#include "temp_folder.h"

namespace cifar {
namespace {

// As in python_reference.py.
RgbImage picture(int width, int height) {
  RgbImage image{width, height};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.rgb.push_back(static_cast<uint8_t>(37 * x + 59 * y + 83 * c + 7 * x * y));
      }
    }
  }
  return image;
}

int largest_difference(const std::vector<uint8_t>& a, const std::vector<int>& b) {
  EXPECT_EQ(a.size(), b.size());
  int most = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    most = std::max(most, std::abs(a[i] - b[i]));
  }
  return most;
}

TEST(CentreSquare, IsPils) {
  for (const auto& [width, height, size, rgb] : reference::scaled) {
    SCOPED_TRACE(testing::Message() << width << "x" << height << " to " << size);
    const RgbImage found = centre_square(picture(width, height), size);
    // PIL rounds to bytes between the two directions.
    EXPECT_LE(largest_difference(found.rgb, rgb), 1);
  }
}

TEST(CentreSquare, LeavesAPictureOfThatSizeAsItIs) {
  EXPECT_EQ(centre_square(picture(32, 32), 32).rgb, picture(32, 32).rgb);
}

TEST(CentreSquare, CutsOffBothEndsAlike) {
  const RgbImage wide = picture(36, 32);
  const RgbImage square = centre_square(wide, 32);
  for (int y = 0; y < 32; ++y) {
    EXPECT_TRUE(std::equal(square.pixel(0, y), square.pixel(0, y) + 96, wide.pixel(2, y)));
  }
}

TEST(CentreSquare, KeepsOneColour) {
  for (const auto& [width, height] : {std::pair(1, 1), {1, 500}, {33, 31}, {640, 480}}) {
    RgbImage plain{width, height};
    for (int i = 0; i < width * height; ++i) plain.rgb.insert(plain.rgb.end(), {255, 0, 77});
    const RgbImage found = centre_square(plain, 32);
    for (int i = 0; i < 32 * 32; ++i) {
      ASSERT_EQ(std::vector<uint8_t>(&found.rgb[3 * i], &found.rgb[3 * i] + 3),
                (std::vector<uint8_t>{255, 0, 77}));
    }
  }
}

TEST(Png, ComesBackAsItWas) {
  for (const auto& [width, height] : {std::pair(1, 1), {17, 3}, {544, 344}}) {
    const RgbImage image = picture(width, height);
    const RgbImage back = decode_png(encode_png(image));
    EXPECT_EQ(back.width, width);
    EXPECT_EQ(back.height, height);
    EXPECT_EQ(back.rgb, image.rgb);
  }
}

TEST(Png, IsWholeWithItsPixels) {
  const std::string bytes = encode_png(picture(40, 30));
  constexpr size_t kEnd = 12;  // IEND
  for (size_t cut = 0; cut <= kEnd; ++cut) {
    EXPECT_EQ(decode_png(bytes.substr(0, bytes.size() - cut)).rgb, picture(40, 30).rgb) << cut;
  }
  EXPECT_THROW(decode_png(bytes.substr(0, bytes.size() - kEnd - 20)), std::runtime_error);
}

TEST(Png, OfApplesIsNamed) {
  std::string bytes = encode_png(picture(4, 4));
  bytes.insert(8, std::string("\0\0\0\4CgBI\x50\0\x20\2\x2b\xd5\xb3\x7f", 16));
  try {
    decode_png(bytes);
    ADD_FAILURE() << "was read";
  } catch (const std::runtime_error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("PNG: in a form of Apple's (CgBI)"));
  }
}

TEST(Jpeg, IsTurnedUpright) {
  // Orientation 6: what was stored as 12x9 is to be turned right.
  const RgbImage image = decode_jpeg(from_base64(reference::colour_jpeg));
  EXPECT_EQ(image.width, 9);
  EXPECT_EQ(image.height, 12);
  EXPECT_EQ(decode_jpeg(from_base64(reference::progressive_jpeg)).width, 12);
}

// TIFF data with the orientation as a value of that type (TIFF 6.0, page 15), behind another entry.
std::string exif(bool little, int type, int width, uint32_t value) {
  std::string tiff = little ? "II" : "MM";
  const auto add = [&](uint32_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) {
      tiff += static_cast<char>(number >> 8 * (little ? i : bytes - 1 - i));
    }
  };
  for (const auto& [number, bytes] : {std::pair(42, 2), {8, 4}, {2, 2}}) add(number, bytes);
  for (const auto& [number, bytes] : {std::pair(0x010f, 2), {2, 2}, {4, 4}, {0x666f6f, 4}}) {
    add(number, bytes);
  }
  for (const auto& [number, bytes] : {std::pair(0x0112, 2), {type, 2}, {1, 4}}) add(number, bytes);
  add(value, width);
  tiff.resize(tiff.size() + 4 - width, '\x55');  // what fills the field counts for nothing
  return tiff;
}

TEST(ExifOrientation, IsAnIntegerOfAnyType) {
  for (const bool little : {true, false}) {
    for (const auto& [type, width] : {std::pair(1, 1), {3, 2}, {4, 4}, {6, 1}, {8, 2}, {9, 4}}) {
      for (int orientation = 1; orientation <= 8; ++orientation) {
        EXPECT_EQ(exif_orientation(exif(little, type, width, orientation)), orientation)
            << little << " " << type;
      }
      EXPECT_EQ(exif_orientation(exif(little, type, width, 0)), 1);
      EXPECT_EQ(exif_orientation(exif(little, type, width, 9)), 1);
    }
    for (const int type : {2, 5, 7, 10, 11, 12, 0}) {  // texts, fractions, what is no type
      EXPECT_EQ(exif_orientation(exif(little, type, 4, 6)), 1);
    }
  }
  const std::string whole = exif(false, 3, 2, 6);
  for (size_t cut = 0; cut + 3 < whole.size(); ++cut) {
    EXPECT_EQ(exif_orientation(whole.substr(0, cut)), 1) << cut;
  }
}

TEST(SetOf, HasAPlaneAColour) {
  const ImageSet set = set_of({picture(32, 32), picture(32, 32)});
  ASSERT_EQ(set.size(), 2);
  EXPECT_EQ(set.label(1), 0);
  for (const auto& [x, y, c] : {std::array{0, 0, 0}, {5, 9, 1}, {31, 31, 2}}) {
    EXPECT_EQ(set.image(1)[c * kPixels + y * 32 + x], picture(32, 32).pixel(x, y)[c]);
  }
}

TEST(PictureFiles, AreThoseOfAFolderByName) {
  const TempFolder folder;
  for (const char* name : {"b.png", "a.JPG", "c.jpeg", "f.jfif", "g.JPE", "notes.txt", "d.png.part",
                           "._a.JPG", ".png", ".h.png"}) {
    std::ofstream(folder / name) << "x";
  }
  // A link is what it leads to, and one to nothing is told of later.
  std::filesystem::create_symlink("b.png", folder / "i.png");
  std::filesystem::create_symlink("/dev/zero", folder / "j.png");
  std::filesystem::create_symlink("none", folder / "k.png");
  ASSERT_EQ(mkfifo((folder / "l.png").c_str(), 0600), 0);
  std::filesystem::create_directory(folder / "m.png");
  std::filesystem::create_directory(folder / "more");
  std::ofstream(folder / "more/e.png") << "x";
  EXPECT_EQ(picture_files(folder.path()),
            (std::vector{folder / "a.JPG", folder / "b.png", folder / "c.jpeg", folder / "f.jfif",
                         folder / "g.JPE", folder / "i.png", folder / "k.png"}));
  EXPECT_EQ(picture_files(folder / "notes.txt"), std::vector{folder / "notes.txt"});
  std::filesystem::create_directory(folder / "empty");
  EXPECT_EQ(refusal(ExitCode::kData, [&] { picture_files(folder / "empty"); }),
            folder /
                "empty: no pictures in this folder; expected files that end in .png, .jpg, .jpeg, "
                ".jfif or .jpe");
}

TEST(ReadPicture, SaysWhatIsWrong) {
  const TempFolder folder;
  const auto complaint = [&](const std::string& bytes) {
    std::ofstream(folder / "x.png") << bytes;
    const std::string text = refusal(ExitCode::kData, [&] { read_picture(folder / "x.png"); });
    return text.substr((folder / "x.png: ").size());
  };
  const std::string end = "; expected a PNG or JPEG picture";
  EXPECT_EQ(complaint(""), "an empty file" + end);
  EXPECT_EQ(complaint("hello"), "neither PNG nor JPEG" + end);
  const std::string png = encode_png(picture(40, 40));
  EXPECT_TRUE(complaint(png.substr(0, png.size() / 2)).starts_with("PNG: "));
  const std::string jpeg = from_base64(reference::colour_jpeg);
  EXPECT_TRUE(complaint(jpeg.substr(0, jpeg.size() - 20)).starts_with("JPEG: Premature end"));
  EXPECT_TRUE(refusal(ExitCode::kData, [] {
                read_picture("/dev/zero");
              }).starts_with("/dev/zero: not a regular file"));
  ASSERT_EQ(mkfifo((folder / "fifo.png").c_str(), 0600), 0);
  EXPECT_EQ(refusal(ExitCode::kData, [&] { read_picture(folder / "fifo.png"); }),
            folder / "fifo.png: not a regular file; expected a regular file");
}

}  // namespace
}  // namespace cifar
