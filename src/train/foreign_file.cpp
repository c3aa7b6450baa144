#include "train/foreign_file.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "train/zip_records.h"

namespace cifar {
namespace {

using namespace std::string_view_literals;

constexpr const char* kStateDict =
    "a state dict: in Python, torch.save(model.state_dict(), FILE) or safetensors";

struct Signature {
  size_t offset;
  std::string_view bytes;
  const char* what;
  const char* expected;
};

constexpr Signature kSignatures[] = {
    {0, "version https://git-lfs.github.com/spec/"sv, "a Git LFS pointer, not the file itself",
     "the file, which git lfs pull brings"},
    {257, "ustar"sv, "a tar archive, as PyTorch wrote before version 0.1.10",
     "a file that a newer PyTorch wrote: torch.save(torch.load(FILE), FILE)"},
    {0, "\x1f\x8b"sv, "a gzip file", "the file that gunzip makes of it"},
    {0, "BZh"sv, "a bzip2 file", "the file that bunzip2 makes of it"},
    {0,
     "\xfd"
     "7zXZ"sv,
     "an xz file", "the file that unxz makes of it"},
    {0, "\x28\xb5\x2f\xfd"sv, "a zstd file", "the file that unzstd makes of it"},
    {0, "\x93NUMPY"sv, "an array of NumPy", kStateDict},
    {0, "\x89HDF\r\n"sv, "an HDF5 file, as Keras writes it", kStateDict},
    {0, "GGUF"sv, "a GGUF file", kStateDict},
};

// torch.save's magic number, pickled as it was before version 1.6.
constexpr std::string_view kLegacyMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;

bool begins_like_html(std::string_view bytes) {
  std::string text(bytes.substr(0, 1024));
  text.erase(0, text.find_first_not_of(" \t\r\n\xef\xbb\xbf"));
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text.starts_with("<!doctype html") || text.starts_with("<html") ||
         text.starts_with("<head") ||
         (text.starts_with("<?xml") && text.find("<html") != std::string::npos);
}

std::optional<ForeignFile> recognise_zip(std::string_view bytes) {
  std::set<std::string_view> names;
  try {
    names = zip_names(bytes);
  } catch (const std::runtime_error&) {
    return std::nullopt;  // whoever reads it says what is wrong
  }
  const auto any = [&](auto test) { return std::ranges::any_of(names, test); };
  if (names.contains("constants.pkl") ||
      any([](std::string_view name) { return name.starts_with("code/"); })) {
    return ForeignFile{"a TorchScript archive, of torch.jit.save",
                       "a state dict: torch.save(torch.jit.load(FILE).state_dict(), OTHER)"};
  }
  if (any([](std::string_view name) { return name.ends_with(".npy"); })) {
    return ForeignFile{"arrays of NumPy (.npz)", kStateDict};
  }
  if (!names.contains("data.pkl")) {
    return ForeignFile{"a zip archive without data.pkl, which torch.save writes", kStateDict};
  }
  return std::nullopt;
}

// ONNX's ModelProto begins with its version of the format and the name of who made it.
bool begins_like_onnx(std::string_view bytes) {
  return bytes.size() > 4 && bytes[0] == 8 && bytes[1] > 0 && bytes[1] < 32 && bytes[2] == 0x12 &&
         bytes.substr(4, 7) == "pytorch";
}

}  // namespace

std::optional<ForeignFile> recognise_foreign(std::string_view bytes) {
  if (bytes.empty()) return ForeignFile{"an empty file (is it cut off?)", kStateDict};
  for (const Signature& known : kSignatures) {
    if (bytes.size() >= known.offset &&
        bytes.substr(known.offset, known.bytes.size()) == known.bytes) {
      return ForeignFile{known.what, known.expected};
    }
  }
  if (begins_like_html(bytes)) {
    return ForeignFile{"an HTML page", "the file itself; a web site's page was saved in its place"};
  }
  if (bytes.starts_with("PK")) return recognise_zip(bytes);
  if (begins_like_onnx(bytes)) return ForeignFile{"an ONNX model", kStateDict};
  if (bytes.substr(0, 32).find(kLegacyMagic) != std::string_view::npos) {
    return ForeignFile{
        "the format of torch.save before PyTorch 1.6",
        "the newer one: torch.save(torch.load(FILE), FILE) with PyTorch 1.6 or later"};
  }
  if (bytes.size() > 2 && bytes[0] == '\x80' && bytes[1] > 0 && bytes[1] <= 5 &&
      bytes.ends_with('.')) {
    return ForeignFile{"a plain pickle", kStateDict};
  }
  return std::nullopt;
}

}  // namespace cifar
