#include "train/zip_records.h"

#include <algorithm>

#include "train/little_endian.h"

namespace cifar {
namespace {

constexpr uint64_t kEndBytes = 22, kLocatorBytes = 20;
constexpr uint64_t kFull16 = 0xffff, kFull32 = 0xffffffff;  // "see the zip64 field"

void expect(std::string_view bytes, uint64_t offset, std::string_view signature) {
  if (piece_of(bytes, offset, signature.size()) != signature) {
    throw std::runtime_error("a zip archive's signature is missing");
  }
}

struct Directory {
  uint64_t entries, offset;
};

// From the end of the archive, which has no comment.
Directory find_directory(std::string_view bytes) {
  const uint64_t end = std::max<uint64_t>(bytes.size(), kEndBytes) - kEndBytes;
  if (bytes.substr(end, 4) != "PK\x05\x06") {
    throw std::runtime_error("a zip archive without its end (is it cut off?)");
  }
  const Directory directory{little_endian(bytes, end + 10, 2), little_endian(bytes, end + 16, 4)};
  if (directory.entries != kFull16 && directory.offset != kFull32) return directory;
  if (end < kLocatorBytes) throw std::runtime_error("too short for a zip64 archive");
  expect(bytes, end - kLocatorBytes, "PK\x06\x07");
  const uint64_t end64 = little_endian(bytes, end - kLocatorBytes + 8, 8);
  expect(bytes, end64, "PK\x06\x06");
  return {little_endian(bytes, end64 + 32, 8), little_endian(bytes, end64 + 48, 8)};
}

struct Entry {
  std::string_view name;
  bool stored;                         // not compressed
  uint64_t size, packed_size, header;  // where its local header is
};

// The values that did not fit in 32 bits, from the extra field of kind 1.
void widen(std::string_view extra, Entry& entry) {
  while (extra.size() >= 4) {
    const std::string_view field = piece_of(extra, 4, little_endian(extra, 2, 2));
    if (little_endian(extra, 0, 2) == 1) {
      uint64_t at = 0;
      for (uint64_t* value : {&entry.size, &entry.packed_size, &entry.header}) {
        if (*value != kFull32) continue;
        *value = little_endian(field, at, 8);
        at += 8;
      }
    }
    extra.remove_prefix(4 + field.size());
  }
}

// The entry at `offset`, which then becomes the next one's.
Entry read_entry(std::string_view bytes, uint64_t& offset) {
  expect(bytes, offset, "PK\x01\x02");
  const auto number = [&](uint64_t at, size_t width) {
    return little_endian(bytes, offset + at, width);
  };
  const uint64_t name = number(28, 2), extra = number(30, 2), comment = number(32, 2);
  Entry entry{piece_of(bytes, offset + 46, name), number(10, 2) == 0, number(24, 4), number(20, 4),
              number(42, 4)};
  widen(piece_of(bytes, offset + 46 + name, extra), entry);
  offset += 46 + name + extra + comment;
  return entry;
}

std::string_view record_of(std::string_view bytes, const Entry& entry) {
  if (!entry.stored) throw std::runtime_error("a compressed record");
  if (entry.size != entry.packed_size) throw std::runtime_error("a record of two sizes");
  expect(bytes, entry.header, "PK\x03\x04");
  const std::string_view header = piece_of(bytes, entry.header, 30);
  const uint64_t before = 30 + little_endian(header, 26, 2) + little_endian(header, 28, 2);
  return piece_of(piece_of(bytes, entry.header, bytes.size() - entry.header), before, entry.size);
}

// In the order of the directory, of which each takes its bytes.
template <class Visit>
void for_each_entry(std::string_view bytes, Visit visit) {
  const Directory directory = find_directory(bytes);
  uint64_t offset = directory.offset;
  for (uint64_t i = 0; i < directory.entries; ++i) visit(read_entry(bytes, offset));
}

// "archive/data.pkl" is "data.pkl".
std::string_view without_folder(std::string_view name) {
  return name.substr(name.find('/') + 1);
}

}  // namespace

ZipRecords read_zip_records(std::string_view bytes) {
  ZipRecords records;
  uint64_t sum = 0;
  for_each_entry(bytes, [&](const Entry& entry) {
    const std::string_view record = record_of(bytes, entry);
    sum += record.size();
    if (sum > bytes.size()) throw std::runtime_error("records that overlap");
    records[std::string(without_folder(entry.name))] = record;
  });
  return records;
}

std::set<std::string_view> zip_names(std::string_view bytes) {
  std::set<std::string_view> names;
  for_each_entry(bytes, [&](const Entry& entry) { names.insert(without_folder(entry.name)); });
  return names;
}

}  // namespace cifar
