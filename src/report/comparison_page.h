// The page of several runs: what they were to answer, the answer, a table and the curves over each
// other.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "report/comparison.h"

namespace cifar {

// Writes STEM.html and its pictures as STEM-accuracy.svg and so on, where `file` is STEM.html, or
// with an empty `file` into the folder that the runs share. The question is read from question.txt
// there; warnings are told on the log too. Returns the file.
std::string write_comparison(const std::vector<std::string>& runs, std::string file,
                             const Log& log);

}  // namespace cifar
