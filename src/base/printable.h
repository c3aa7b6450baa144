// Text that came from outside (names of files, keys, words of a recipe) as it may be shown.
#pragma once

#include <string>
#include <string_view>

namespace cifar {

// The text on one line, whole: what would move the cursor, change colours, end the line or turn
// the direction of writing is written out, as \n or \u001B; bytes that are no UTF-8 are \xFF. In
// JSON without such bytes the same escapes mean the same characters.
std::string printable(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace cifar
