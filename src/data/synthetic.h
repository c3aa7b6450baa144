// Images for machines without the data set and for throughput runs: 50,000 + 10,000 in CIFAR-10's
// format, each a function of its index alone, the same bytes on every machine. Ten classes that
// the article's network learns over some epochs.
#pragma once

#include "data/cifar10.h"

namespace cifar {

Dataset make_synthetic();

}  // namespace cifar
