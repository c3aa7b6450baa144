#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/conv_block.h"

#define HWY_TARGET_INCLUDE "kernels/backward.cpp"
#include "kernels/targets.h"
// After targets.h:
#include <hwy/foreach_target.h>

#include "kernels/packed_weights.h"
#include "kernels/planes-inl.h"
#include "kernels/runs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// Adds up the gradients of kVectors vectors of channels where outputs are live, windows in order.
template <size_t... kVector>
HWY_INLINE void add_live_gradients(const uint8_t* winners, const float* gradients, int64_t channels,
                                   int64_t size, float* sums, std::index_sequence<kVector...>) {
  const D d;
  const DInt di;
  const hn::Rebind<uint8_t, D> d8;
  const size_t lanes = hn::Lanes(d);
  V sum[] = {hn::LoadU(d, sums + kVector * lanes)...};
  for (int64_t i = 0; i < size; i += channels) {
    const auto add = [&](size_t vector) HWY_ATTR {
      const auto winner = hn::PromoteTo(di, hn::LoadU(d8, winners + i + vector * lanes));
      const auto live = hn::RebindMask(d, hn::Lt(winner, hn::Set(di, kNoWinner)));
      const V gradient = hn::LoadU(d, gradients + i + vector * lanes);
      sum[vector] = hn::Add(sum[vector], hn::IfThenElseZero(live, gradient));
    };
    (add(kVector), ...);
  }
  (hn::StoreU(sum[kVector], d, sums + kVector * lanes), ...);
}

// Channel by channel; four vectors at once, since one sum would wait for itself.
void add_bias_gradients(const ConvBlock& block, const uint8_t* winners, const float* gradients,
                        float* sums) {
  const int64_t channels = block.out_channels, size = block.output_size();
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes) {
    add_live_gradients(winners + c, gradients + c, channels, size - c, sums + c,
                       std::make_index_sequence<4>());
  }
  for (; c + lanes <= channels; c += lanes) {
    add_live_gradients(winners + c, gradients + c, channels, size - c, sums + c,
                       std::make_index_sequence<1>());
  }
  for (; c < channels; ++c) {
    for (int64_t i = c; i < size; i += channels) {
      sums[c] += winners[i] == kNoWinner ? 0.0f : gradients[i];
    }
  }
}

class Backward {
 public:
  // `filters` may be null where no input gradient is wanted.
  Backward(const ConvBlock& block, const float* filters)
      : block_(block),
        layout_(block),
        runs_(find_runs(block, layout_)),
        filters_(filters),
        sums_(hwy::AllocateAligned<float>(layout_.planes * layout_.filter_plane)),
        images_(block, layout_, images_at_once()) {
    if (WindowWeights::takes(block)) window_weights_.emplace(block, layout_);
    if (!window_weights_ || filters != nullptr) {
      live_.emplace(block, images_at_once(), layout_.row, layout_.pixel, layout_.plane);
    }
    if (filters == nullptr) return;
    input_gradients_.emplace(block, layout_, images_at_once());
    if (!WindowGradient::takes(block)) return;
    for (int64_t i = 0; i < images_at_once(); ++i) windows_.emplace_back(block, layout_);
  }

  // Of no effect on the sums: it depends on the vectors.
  int64_t images_at_once() const {
    constexpr int64_t kCacheFloats = 24 * 1024 / 4;  // the first-level cache, with room for lists
    return runs_.chains > 1 ? 1 : std::max<int64_t>(1, kCacheFloats / layout_.plane);
  }

  // Adds to the weight gradient that `count` images make, at most images_at_once().
  void add_weights(int64_t count, const float* input, const uint8_t* winners,
                   const float* gradients) {
    const int64_t size = block_.output_size();
    for (int64_t i = 0; i < count; ++i) {
      images_.load(i, input + i * block_.input_size());
      if (live_) live_->load(i, winners + i * size, gradients + i * size);
    }
    if (!window_weights_) return add_weights_by_list(count);
    for (int64_t i = 0; i < count; ++i) {
      const float* plane = images_.plane(0) + i * layout_.plane;
      window_weights_->add(plane, winners + i * size, gradients + i * size);
    }
  }

  // Writes the input gradients of the `count` images that add_weights took last.
  void store_input_gradients(int64_t count, const uint8_t* winners, const float* gradients,
                             float* to) {
    if (windows_.empty()) {
      add_inputs(count);
    } else {
      add_inputs_by_window(count, winners, gradients);
    }
    for (int64_t i = 0; i < count; ++i) input_gradients_->take(i, to + i * block_.input_size());
  }

  void store_weights(float* gradients) const {
    if (window_weights_) return window_weights_->store(gradients);
    store_filters(block_, layout_, sums_.get(), gradients);
  }

 private:
  void add_weights_by_list(int64_t count) {
    int64_t p = 0;
    if (kManyRegisters && block_.kernel == 3 && layout_.vectors == 3 && runs_.chains == 1) {
      for (; p + 2 <= layout_.planes; p += 2) {
        for (int64_t channel = 0; channel < block_.out_channels; ++channel) {
          add_weight_gradients<3, 3>(sums_.get() + layout_.filter_place(p, channel),
                                     layout_.filter_plane, begun_, layout_.row,
                                     live_->list(channel, count), images_.plane(p),
                                     images_.plane(1) - images_.plane(0));
        }
      }
    }
    for (; p < layout_.planes; ++p) {
      for (int64_t channel = 0; channel < block_.out_channels; ++channel) {
        for_each_part([&](int64_t offset, int64_t place) {
          runs_.weights(sums_.get() + layout_.filter_place(p, channel) + place, begun_, layout_.row,
                        live_->list(channel, count), images_.plane(p) + offset);
        });
      }
    }
    begun_ = true;
  }

  void add_inputs(int64_t count) {
    for (int64_t p = 0; p < layout_.planes; ++p) {
      for (int64_t channel = 0; channel < block_.out_channels; ++channel) {
        for_each_part([&](int64_t offset, int64_t place) {
          runs_.input(filters_ + layout_.filter_place(p, channel) + place, layout_.row,
                      live_->list(channel, count), input_gradients_->plane(p) + offset);
        });
      }
    }
  }

  // All images by one block of filters, while it lies in the cache.
  void add_inputs_by_window(int64_t count, const uint8_t* winners, const float* gradients) {
    const int64_t size = block_.output_size();
    for (int64_t i = 0; i < count; ++i) {
      windows_[i].load(winners + i * size, gradients + i * size);
    }
    for (int64_t p = 0; p < layout_.planes; ++p) {
      const float* filters = filters_ + layout_.filter_place(p, 0);
      for (int64_t block = 0; block < windows_[0].blocks(); ++block) {
        for (int64_t i = 0; i < count; ++i) {
          windows_[i].run(block, filters, input_gradients_->plane(p) + i * layout_.plane);
        }
      }
    }
  }

  // visit(where the part begins in a patch, where in a filter).
  template <class Visit>
  HWY_INLINE void for_each_part(const Visit& visit) const {
    for (int64_t ky = 0; ky < block_.kernel; ky += runs_.rows) {
      visit(ky * layout_.row, ky * layout_.vectors * layout_.lanes);
    }
  }

  const ConvBlock& block_;
  Layout layout_;
  Runs runs_;
  const float* filters_;
  Floats sums_;         // the weight gradient, laid out as filters
  bool begun_ = false;  // whether there is anything in them
  Planes images_;
  std::optional<LiveOutputs> live_;
  std::optional<WindowWeights> window_weights_;
  std::optional<Planes> input_gradients_;
  std::vector<WindowGradient> windows_;  // by image
};

void backward(const ConvBlock& block, int64_t images, const float* input, const float* packed,
              const uint8_t* winners, const float* output_gradients, float* weight_gradients,
              float* bias_gradients, float* input_gradients) {
  Backward method(block,
                  input_gradients == nullptr ? nullptr : packed + forward_weights_size(block));
  if (bias_gradients != nullptr) std::fill_n(bias_gradients, block.out_channels, 0.0f);
  const int64_t in = block.input_size(), out = block.output_size();
  for (int64_t first = 0; first < images; first += method.images_at_once()) {
    const int64_t count = std::min(method.images_at_once(), images - first);
    method.add_weights(count, input + first * in, winners + first * out,
                       output_gradients + first * out);
    if (input_gradients != nullptr) {
      method.store_input_gradients(count, winners + first * out, output_gradients + first * out,
                                   input_gradients + first * in);
    }
    if (bias_gradients == nullptr) continue;
    for (int64_t i = first; i < first + count; ++i) {
      add_bias_gradients(block, winners + i * out, output_gradients + i * out, bias_gradients);
    }
  }
  method.store_weights(weight_gradients);
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cifar {

HWY_EXPORT(backward);

void conv_block_backward(const ConvBlock& block, int64_t images, const float* input,
                         const float* packed, const uint8_t* winners, const float* output_gradients,
                         float* weight_gradients, float* bias_gradients, float* input_gradients) {
  HWY_DYNAMIC_DISPATCH(backward)
  (block, images, input, packed, winners, output_gradients, weight_gradients, bias_gradients,
   input_gradients);
}

}  // namespace cifar
#endif
