#include "verbs/report.h"

#include <fmt/format.h>

#include <optional>

#include "report/comparison_page.h"
#include "report/run_page.h"
#include "verbs/trained.h"

namespace cifar {
namespace {

struct Tested {
  std::vector<Prediction> predictions;
  ImageSet images;
  std::string network;
};

// What the network of the newest checkpoint says of the test split; every rank calls it. None, with
// a warning, when there is no sound checkpoint or the data set is not to be had.
std::optional<Tested> test_newest(const Invocation& invocation, const RunRecord& run) try {
  const Trained trained = load_trained(invocation, run.path);
  const Samples samples = open_split(trained.config.data, "test");
  return Tested{predictions_of(trained, samples, invocation), samples.images,
                fmt::format("the network after step {}{}", trained.checkpoint->position.step,
                            TestTimeAugmentation(trained.config.train).text())};
} catch (const Error& error) {
  if (error.code() != ExitCode::kData && error.code() != ExitCode::kCheckpoint) throw;
  invocation.log.warning(std::string(error.what()) + "; the page has no predictions");
  return std::nullopt;
}

void report_run(const Invocation& invocation, const std::string& path, std::string file) {
  const RunRecord run = read_run(path);
  const auto tested = test_newest(invocation, run);
  if (invocation.world.rank() != 0) return;
  if (file.empty()) file = run.path + "/report.html";
  write_run_report(
      run,
      tested ? std::optional(TestedImages{tested->predictions, tested->images, tested->network})
             : std::nullopt,
      file);
  invocation.log.line(file);
}

}  // namespace

// One run's page, or one page of several runs; prints where it is.
ExitCode report(const Invocation& invocation) {
  const std::vector<std::string>& arguments = invocation.line.arguments;
  if (arguments.empty()) {
    throw Error(ExitCode::kUsage, "report", "no run", "run directories, or a folder of such");
  }
  const auto runs = find_runs(arguments);
  const std::string& file = invocation.line.config.evaluate.output;
  if (runs.size() == 1 && arguments.front() == runs.front()) {
    report_run(invocation, runs.front(), file);
  } else if (invocation.world.rank() == 0) {
    invocation.log.line(write_comparison(runs, file, invocation.log));
  }
  return ExitCode::kDone;
}

bool report_after_training(const std::string& run, const std::vector<Prediction>& predictions,
                           const ImageSet& test) try {
  const RunRecord record = read_run(run);
  std::optional<TestedImages> tested;
  if (!predictions.empty())
    tested.emplace(
        TestedImages{predictions, test,
                     "the network at the end" + TestTimeAugmentation(record.config.train).text()});
  write_run_report(record, tested, record.path + "/report.html");
  return true;
} catch (const std::exception& error) {  // whatever it is: the training is done and stays so
  print_error(std::string("no report: ") + error.what(),
              "the training is done; `cifar-ddp report " + run + "` makes it");
  return false;
}

}  // namespace cifar
