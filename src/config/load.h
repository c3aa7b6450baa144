// How a run gets its settings: the values of config.h, then the compiled-in article recipe, then
// the recipe file of --config, then the flags; the later source wins. Every error is an Error with
// ExitCode::kUsage that names FILE:LINE:COLUMN or the flag.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace cifar {

// The text of configs/article.toml; the build generates its definition.
extern const char* const kArticleRecipe;

struct CommandLine {
  std::string verb;  // a name of config/verbs.h
  bool verb_given = false;
  Config config;  // resolved; with help or version set, the article's
  bool help = false;
  bool version = false;
  std::vector<std::string> flags;      // the names of those that were given: "data"
  std::vector<std::string> arguments;  // the words without flags: predict's pictures, or inspect's
                                       // recipe file, already in config
};

// The recipe that a checkpoint was trained with, laid over the article's before --config and flags,
// so that a resume or an evaluation needs no settings repeated. Its section run is left out: where
// and how a run runs is each invocation's own.
struct BaseRecipe {
  std::string text;  // what to_toml wrote; empty: none
  std::string name;  // for messages
};

// data.path, when nothing sets it, is CIFAR10_DIR of the environment, or stays empty.
CommandLine parse_command_line(int argc, const char* const* argv, const BaseRecipe& base = {});

// The compiled-in article recipe over the values of config.h.
Config article_config();

// The resolved configuration as a recipe that --config reads back to an equal Config. What an
// evaluation is asked to do (section evaluate) is not part of a run and left out.
std::string to_toml(const Config& config);

// What --help prints; no line is longer than 80 columns. Of one verb: its own flags; of "": all.
std::string help_text(const std::string& verb = "");

}  // namespace cifar
