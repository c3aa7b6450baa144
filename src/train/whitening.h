// The weight of a `whiten` layer, made from the images that the run trains on: the eigenvectors of
// the second moment (uncentred) of their patches, in descending order of eigenvalue, each divided
// by sqrt(eigenvalue + epsilon), then the negatives of all. So the first half of the filters gives
// outputs that are uncorrelated and of second moment eigenvalue / (eigenvalue + epsilon).
//
// Images are the layer's `images` first of the train split by index, normalised, not augmented.
// Sums and eigenvectors are in float64; of an eigenvector and its negative the one counts whose
// first large component (half of its largest, or more) is positive.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/batches.h"
#include "model/network.h"

namespace cifar {

// Sets the network's whitening weight, if it has one; on one rank, before weights are broadcast.
// `train`: indices into `set`, in any order. Patches are summed on the network's device, blocks of
// images at a time, wherever `set` lies. Error(kUsage) when the split has fewer images than the
// layer asks for.
void whiten(Network& network, const std::shared_ptr<const ResidentSet>& set,
            const std::vector<int32_t>& train, const AugmentationConfig& normalisation);

}  // namespace cifar
