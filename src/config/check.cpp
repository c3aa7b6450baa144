// Whether a value is what an option's check asks for.
#include <algorithm>

#include "config/options.h"

namespace cifar {
namespace {

struct Fulfils {
  const Check& check;

  bool operator()(bool) const { return true; }
  bool operator()(int64_t number) const { return (*this)(static_cast<double>(number)); }
  bool operator()(double number) const {
    return (check.low_excluded ? number > check.low : number >= check.low) &&
           (check.high_excluded ? number < check.high : number <= check.high);
  }
  bool operator()(const std::string& text) const {
    return check.choices.empty() || std::ranges::count(check.choices, text) > 0;
  }
  template <class T>
  bool operator()(const std::vector<T>& list) const {
    const bool length_fits = check.length == 0 ? !list.empty() : list.size() == check.length;
    return length_fits && std::ranges::all_of(list, *this);
  }
};

}  // namespace

bool Check::operator()(const Value& value) const {
  return std::visit(Fulfils{*this}, value);
}

}  // namespace cifar
