#include <algorithm>
#include <vector>

#include "kernels/conv_block.h"

#define HWY_TARGET_INCLUDE "kernels/forward.cpp"
#include "kernels/targets.h"
// After targets.h:
#include <hwy/foreach_target.h>

#include "kernels/direct-inl.h"
#include "kernels/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

template <class Method>
void forward_images(const ConvBlock& block, int64_t images, const float* input, const float* packed,
                    const float* bias, float* output, uint8_t* winners) {
  Outputs outputs(block, bias, output, winners);
  Method(block, outputs).run(images, input, packed);
}

void forward(const ConvBlock& block, int64_t images, const float* input, const float* packed,
             const float* bias, float* output, uint8_t* winners) {
  const auto run = uses_winograd(block) ? forward_images<Winograd> : forward_images<Direct>;
  run(block, images, input, packed, bias, output, winners);
}

const char* target_name() {
  return hwy::TargetName(HWY_TARGET);
}

bool is_vector_target() {
  return HWY_TARGET != HWY_SCALAR;
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cifar {

HWY_EXPORT(forward);
HWY_EXPORT(target_name);
HWY_EXPORT(is_vector_target);

bool can_compute(const ConvBlock& block) {
  const bool kernel = block.kernel == 1 || block.kernel == 3 || block.kernel == 5;
  const int64_t smaller = std::min(block.height, block.width) + 2 * block.padding;
  return kernel && smaller >= block.kernel && block.pool * block.pool <= kMaxPoolTaps &&
         std::min(block.conv_height(), block.conv_width()) >= block.pool;
}

bool uses_winograd(const ConvBlock& block) {
  return block.kernel == 3 && block.stride == 1 && block.in_channels >= 16;
}

void conv_block_forward(const ConvBlock& block, int64_t images, const float* input,
                        const float* packed, const float* bias, float* output, uint8_t* winners) {
  HWY_DYNAMIC_DISPATCH(forward)(block, images, input, packed, bias, output, winners);
}

bool has_vectors() {
  return HWY_DYNAMIC_DISPATCH(is_vector_target)();
}

const char* instruction_set() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}

}  // namespace cifar
#endif
