#include "train/safetensors_header.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "train/shortened.h"
#include "train/tensor_limits.h"

namespace cifar {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw std::runtime_error("its header has " + what);
}

// {"NAME": {"dtype": TEXT, "shape": [N, ...], "data_offsets": [N, N]}, ...,
//  "__metadata__": {TEXT: TEXT, ...}}
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<SafetensorsEntry> take() { return std::move(entries_); }

  bool start_object(size_t) override {
    if (depth_ == 2 || !list_.empty()) refuse("an object in an object");
    ++depth_;
    fields_.clear();
    return true;
  }

  bool end_object() override {
    if (depth_-- == 2 && !metadata_ && fields_.size() != 3) {
      refuse(fmt::format("no dtype, shape or data_offsets of {}", shortened(entries_.back().name)));
    }
    field_.clear();
    return true;
  }

  bool key(string_t& name) override {
    if (depth_ == 1) return begin_entry(name);
    if (metadata_) return true;
    if (name != "dtype" && name != "shape" && name != "data_offsets") {
      refuse("an unknown key " + shortened(name));
    }
    if (!fields_.insert(name).second) refuse(name + " twice");
    field_ = name;
    return true;
  }

  bool string(string_t& text) override {
    if (depth_ == 2 && metadata_) return true;
    if (depth_ != 2 || field_ != "dtype") refuse("a text at the wrong place");
    entries_.back().type = text;
    field_.clear();
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || metadata_ || !list_.empty() || field_.empty() || field_ == "dtype") {
      refuse("a list at the wrong place");
    }
    list_ = std::exchange(field_, "");
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    if (list_ == "shape") {
      entries_.back().shape = numbers_;
    } else {
      if (numbers_.size() != 2) refuse("data_offsets that are not two");
      entries_.back().begin = static_cast<uint64_t>(numbers_[0]);
      entries_.back().end = static_cast<uint64_t>(numbers_[1]);
    }
    list_.clear();
    return true;
  }

  bool number_unsigned(number_unsigned_t number) override {
    if (list_.empty()) refuse("a number at the wrong place");
    if (number > uint64_t{1} << 62) refuse("a number that is too large");
    if (numbers_.size() == kMostDimensions) refuse("a list that is too long");
    numbers_.push_back(static_cast<int64_t>(number));
    return true;
  }

  bool null() override { refuse("null"); }
  bool boolean(bool) override { refuse("true or false"); }
  bool number_integer(number_integer_t) override { refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { refuse("a number with a point"); }
  bool binary(binary_t&) override { refuse("binary data"); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    refuse(fmt::format("no JSON at byte {}", position));
  }

 private:
  bool begin_entry(const std::string& name) {
    metadata_ = name == "__metadata__";
    if (!names_.insert(name).second) refuse("the name " + shortened(name) + " twice");
    if (names_.size() > kMostTensors) refuse(fmt::format("more than {} tensors", kMostTensors));
    if (!metadata_) entries_.push_back({.name = name, .type = {}, .shape = {}});
    return true;
  }

  std::vector<SafetensorsEntry> entries_;
  std::set<std::string> names_, fields_;  // of all, and of the entry
  std::string field_, list_;              // whose value comes; whose list is open
  std::vector<int64_t> numbers_;
  bool metadata_ = false;
  int depth_ = 0;
};

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view json) {
  HeaderReader reader;
  nlohmann::json::sax_parse(json, &reader);
  return reader.take();
}

}  // namespace cifar
