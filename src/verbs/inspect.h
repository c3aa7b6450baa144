// What inspect shows when it is not a recipe.
#pragma once

#include "train/state.h"
#include "verbs/verbs.h"

namespace cifar {

// The images of each class in the three splits; with --contact-sheet, a picture of some.
ExitCode inspect_data(const Invocation& invocation);

// The place of a checkpoint in its run, its hashes, its tensors and its recipe.
ExitCode inspect_checkpoint(const Invocation& invocation);

}  // namespace cifar
