#include "report/run_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/png.h"
#include "report/html.h"
#include "report/style.h"
#include "train/predictions.h"
#include "train/state.h"

namespace cifar {
namespace {

constexpr size_t kMistakes = 24;

double sum_of(const RunRecord& run, double EpochLine::*value) {
  double sum = 0;
  for (const EpochLine& line : run.epochs) {
    if (std::isfinite(line.*value)) sum += line.*value;
  }
  return sum;
}

std::string grouped(int64_t number) {
  return fmt::format("{}", fmt::group_digits(number));
}

RgbImage rgb_of(const uint8_t* planes) {
  RgbImage image{kImageSize, kImageSize};
  for (int pixel = 0; pixel < kPixels; ++pixel) {
    for (int c = 0; c < kChannels; ++c) image.rgb.push_back(planes[c * kPixels + pixel]);
  }
  return image;
}

// Light to full within the colours on which text can be read.
std::string part(double fraction) {
  return fmt::format("--part:{:.0f}%", 100 * fraction);
}

}  // namespace

std::string time_section(const RunRecord& run) {
  const double total = sum_of(run, &EpochLine::seconds_train);
  if (total <= 0) return "";
  struct Share {
    const char* name;
    double seconds;
  };
  std::vector<Share> shares = {
      {"gather and augment images", sum_of(run, &EpochLine::seconds_data)},
      {"forward, backward, update", sum_of(run, &EpochLine::seconds_compute)},
      {"exchange of gradients", sum_of(run, &EpochLine::seconds_communication)}};
  double rest = total;
  for (const Share& share : shares) rest -= share.seconds;
  shares.push_back({"all else", std::max(0.0, rest)});
  const double steps =
      run.images_per_second() * total / static_cast<double>(run.config.train.batch_size);

  std::string bar = "<div class=\"stack\">";
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < shares.size(); ++i) {
    const double fraction = shares[i].seconds / total;
    bar += fmt::format("<span class=\"{}\" style=\"{}\"></span>", line_class(i),
                       fmt::format("--part:{:.2f}%", 100 * fraction));
    rows.push_back(
        {fmt::format("<span class=\"swatch {}\"></span>{}", line_class(i), shares[i].name),
         percent(fraction),
         steps > 0 ? fmt::format("{:.2f}", 1000 * shares[i].seconds / steps) : "–"});
  }
  rows.push_back({"a step", percent(1),
                  steps > 0 ? fmt::format("{:.2f}", 1000 * total / steps) : std::string("–")});
  return section("Where the time of a step went",
                 bar + "</div>\n" + html_table({"", "share", "ms a step"}, rows) +
                     fmt::format("<p class=\"muted\">Besides the steps, validation took {}.</p>\n",
                                 duration(sum_of(run, &EpochLine::seconds_validation))));
}

std::string classes_section(const RunRecord& run, const std::optional<TestedImages>& tested) {
  if (!run.facts && !tested) return "";
  std::vector<std::string> header = {"class"};
  if (run.facts) header.insert(header.end(), {"train", "val", "test"});
  if (tested) header.push_back("test accuracy");
  const Confusion confusion(tested ? tested->predictions : std::vector<Prediction>{});
  std::vector<std::vector<std::string>> rows;
  for (int c = 0; c < kClasses; ++c) {
    rows.push_back({kClassNames[c]});
    if (run.facts) {
      for (const ClassCounts* counts : {&run.facts->train, &run.facts->val, &run.facts->test}) {
        rows.back().push_back(grouped((*counts)[c]));
      }
    }
    if (tested) {
      rows.back().push_back(fmt::format("<span class=\"bar\" style=\"{}\"></span>{}",
                                        part(confusion.accuracy(c)),
                                        percent(confusion.accuracy(c))));
    }
  }
  const std::string note =
      tested
          ? "Images of each class in the three splits, and how many of the test images " +
                tested->network + " gets right."
          : "Images of each class in the three splits. No predictions yet: they need a checkpoint "
            "and the data set (cifar-ddp report RUN).";
  return section("Classes",
                 "<p class=\"muted\">" + escape(note) + "</p>\n" + html_table(header, rows));
}

std::string confusion_section(const TestedImages& tested) {
  const Confusion confusion(tested.predictions);
  int64_t most_right = 1, most_wrong = 1;
  for (int label = 0; label < kClasses; ++label) {
    for (int predicted = 0; predicted < kClasses; ++predicted) {
      int64_t& most = label == predicted ? most_right : most_wrong;
      most = std::max(most, confusion.counts[label][predicted]);
    }
  }
  std::string html = "<div class=\"scroll\"><table class=\"confusion\">\n<thead><tr><td></td>";
  for (const char* name : kClassNames)
    html += fmt::format("<th scope=\"col\"><span>{}</span></th>", name);
  html += "</tr></thead>\n<tbody>\n";
  constexpr double kFull = 0.55;
  for (int label = 0; label < kClasses; ++label) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>", kClassNames[label]);
    for (int predicted = 0; predicted < kClasses; ++predicted) {
      const int64_t count = confusion.counts[label][predicted];
      const bool right = label == predicted;
      const double share =
          static_cast<double>(count) / static_cast<double>(right ? most_right : most_wrong);
      html += fmt::format("<td class=\"{}\" style=\"{}\">{}</td>",
                          right        ? "right"
                          : count == 0 ? "none"
                                       : "",
                          part(kFull * share), count);
    }
    html += "</tr>\n";
  }
  return section(
      "Confusion matrix",
      "<p class=\"muted\">Test images by their class (rows) and by what the network takes "
      "them for (columns): blue is right, orange a mistake.</p>\n" +
          html + "</tbody></table></div>\n");
}

std::string mistakes_section(const TestedImages& tested) {
  const auto places = confident_mistakes(tested.predictions, kMistakes);
  if (places.empty()) return section("Mistakes", "<p>Not one.</p>\n");
  std::string html = "<div class=\"mistakes\">\n";
  for (const size_t place : places) {
    const Prediction& mistake = tested.predictions[place];
    html += fmt::format(
        "<figure><img width=\"{0}\" height=\"{0}\" alt=\"test image {1}, {2}\" src=\"{3}\">"
        "<figcaption><b>{2}</b><br>as {4}<br>{5:.2f} %</figcaption></figure>\n",
        kImageSize, place, kClassNames[mistake.label],
        data_uri(encode_png(rgb_of(tested.images.image(static_cast<int64_t>(place))))),
        kClassNames[mistake.guess], 100 * mistake.probability);
  }
  return section(
      "Most confident mistakes",
      "<p class=\"muted\">Test images that the network gets wrong with the highest "
      "probabilities: the class, what it is taken for, and with what probability.</p>\n" +
          html + "</div>\n");
}

std::string epochs_table(const RunRecord& run) {
  if (run.epochs.empty()) return "";
  const auto number = [](double value, int decimals) {
    return std::isfinite(value) ? fmt::format("{:.{}f}", value, decimals) : std::string("–");
  };
  std::vector<std::vector<std::string>> rows;
  for (const EpochLine& line : run.epochs) {
    rows.push_back({fmt::format("{}{}", line.epoch, line.partial ? " (broken off)" : ""),
                    grouped(line.step), number(line.train_loss, 4), number(line.train_accuracy, 4),
                    number(line.val_loss, 4), number(line.val_accuracy, 4),
                    fmt::format("{:.3g}", line.learning_rate), number(line.images_per_second, 0)});
  }
  return folded("Epochs in numbers",
                html_table({"epoch", "step", "train loss", "train acc.", "val loss", "val acc.",
                            "learning rate", "images/s"},
                           rows));
}

std::string network_table(const RunRecord& run) {
  return folded("Network", "<pre>" + escape(make_network(run.config)->table()) + "</pre>\n");
}

}  // namespace cifar
