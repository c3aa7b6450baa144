// The records of a zip archive in memory, as PyTorch writes one: stored, not compressed, in zip64
// where sizes ask for it (PKWARE's APPNOTE.TXT, section 4.3). Whatever the bytes are, nothing
// beyond them is read and nothing is allocated by a size that they claim: std::runtime_error says
// what is wrong. Checksums are left to the caller.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace cifar {

// By name without its first folder ("archive/data.pkl" is "data.pkl"); views into `bytes`.
using ZipRecords = std::map<std::string, std::string_view>;

ZipRecords read_zip_records(std::string_view bytes);
// The names alone, which compressed records have, too.
std::set<std::string_view> zip_names(std::string_view bytes);

}  // namespace cifar
