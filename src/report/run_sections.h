// The parts of a run's page, each a section of HTML.
#pragma once

#include <optional>
#include <string>

#include "report/run_page.h"
#include "report/run_record.h"

namespace cifar {

// Where the time of a step went; empty when nothing was timed.
std::string time_section(const RunRecord& run);
// Class counts of the three splits and the accuracy on each class of the test split.
std::string classes_section(const RunRecord& run, const std::optional<TestedImages>& tested);
std::string confusion_section(const TestedImages& tested);
// The images that the network was surest of and wrong about.
std::string mistakes_section(const TestedImages& tested);
// All numbers of the curves.
std::string epochs_table(const RunRecord& run);
// Layers, shapes, parameters, multiply-adds.
std::string network_table(const RunRecord& run);

}  // namespace cifar
