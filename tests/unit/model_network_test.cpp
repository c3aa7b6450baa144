// The article's network against its published size and against PyTorch's Python numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <memory>
#include <string>
#include <vector>

#include "config/load.h"
#include "model/network.h"
#include "model_inputs.h"
#include "refusal.h"

namespace cifar {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kArticle = article_config().model.layers;

// The layers by themselves, run one after another as the list has them.
struct Listed {
  Listed(const std::vector<std::string>& texts, uint64_t seed) {
    torch::manual_seed(seed);
    Shape shape = kImage;
    for (const std::string& text : texts) {
      layers.push_back(make_layer(text, static_cast<int64_t>(layers.size()), shape));
      shape = layers.back()->output();
    }
  }
  torch::Tensor forward(torch::Tensor images, const Pass& pass) const {
    for (const auto& layer : layers) images = layer->forward(images, pass);
    return images;
  }
  std::vector<torch::Tensor> parameters() const {
    std::vector<torch::Tensor> all;
    for (const auto& layer : layers) {
      for (const auto& parameter : layer->parameters()) all.push_back(parameter);
    }
    return all;
  }
  std::vector<std::shared_ptr<Layer>> layers;
};

TEST(Network, TheArticlesHas113738ParametersAnd10342400MultiplyAdds) {
  const Network network(kArticle, kImage, 10, 42);
  EXPECT_EQ(network.parameter_count(), 113738);
  EXPECT_EQ(network.multiply_adds(), 10342400);
  const std::string table = network.table();
  const std::string last_line = table.substr(table.rfind('\n', table.size() - 2) + 1);
  EXPECT_THAT(last_line, HasSubstr("113,738"));
  EXPECT_THAT(last_line, HasSubstr("10,342,400"));
  EXPECT_THAT(table, HasSubstr("128x4x4"));
  EXPECT_THAT(table, HasSubstr("conv 64"));
}

struct Reference {
  std::string name;
  std::vector<int64_t> sizes;
  float first, last;
  double sum, sum_of_squares;
};

// PyTorch 2.11 in Python: torch.manual_seed(42), then nn.Sequential(nn.Conv2d(3, 32, 3, padding=1),
// nn.ReLU(), nn.MaxPool2d(2), ..., nn.Flatten(), nn.Linear(2048, 10)); for each named parameter p:
// p.flatten()[0], p.flatten()[-1], p.double().sum(), p.double().square().sum().
const Reference kReference[] = {
    {"0.weight",
     {32, 3, 3, 3},
     0.147135511f,
     -0.0913167521f,
     -5.5933574351365678,
     10.997577287463049},
    {"0.bias", {32}, -0.0909044892f, 0.0599946305f, 1.1787750471848994, 0.31391150714373428},
    {"3.weight",
     {64, 32, 3, 3},
     -0.0209241323f,
     0.0194191821f,
     -2.772737105315116,
     21.42772451277456},
    {"3.bias", {64}, -0.0360950865f, -0.00469941599f, -0.13311643828637898, 0.06912601988299498},
    {"6.weight",
     {128, 64, 3, 3},
     -0.0315778702f,
     -0.0297485888f,
     12.259998520696172,
     42.613925145685982},
    {"6.bias", {128}, -0.0268671922f, -0.00931889378f, -0.086807332583703101, 0.080327319182401241},
    {"10.weight",
     {10, 2048},
     -0.0049735941f,
     -0.0144909527f,
     -0.15345238724913202,
     3.3468089959395071},
    {"10.bias", {10}, 0.0114305727f, -0.00778894825f, -0.046229234430938959, 0.0019737247135538172},
};

TEST(Network, StartsFromTheWeightsOfTorchsSequential) {
  const Network network(kArticle, kImage, 10, 42);
  const auto parameters = network.named_parameters();
  ASSERT_EQ(parameters.size(), std::size(kReference));
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Reference& expected = kReference[i];
    SCOPED_TRACE(expected.name);
    EXPECT_EQ(parameters[i].key(), expected.name);
    const auto values = parameters[i].value().detach().to(torch::kFloat64);
    EXPECT_EQ(values.sizes(), torch::IntArrayRef(expected.sizes));
    EXPECT_EQ(values.flatten()[0].item<double>(), expected.first);
    EXPECT_EQ(values.flatten()[-1].item<double>(), expected.last);
    EXPECT_NEAR(values.sum().item<double>(), expected.sum, 1e-11);
    EXPECT_NEAR(values.square().sum().item<double>(), expected.sum_of_squares, 1e-11);
  }
}

TEST(Network, TheSeedAloneDecidesTheWeights) {
  const auto weights = [](uint64_t seed) {
    std::vector<torch::Tensor> flat;
    for (const auto& parameter : Network(kArticle, kImage, 10, seed).parameters()) {
      flat.push_back(parameter.detach().flatten());
    }
    return torch::cat(flat);
  };
  const auto first = weights(1);
  torch::rand({5});
  EXPECT_TRUE(torch::equal(first, weights(1)));
  EXPECT_FALSE(torch::equal(first, weights(2)));
}

TEST(Network, PoolingBeforeReluChangesNoBit) {
  torch::manual_seed(3);
  const auto images = torch::randn({5, 3, 32, 32}).contiguous(torch::MemoryFormat::ChannelsLast);
  const std::vector<std::vector<std::string>> lists = {
      kArticle,
      {"conv 4", "relu", "pool max 3 stride 2", "flatten", "linear 10"},
      {"relu", "pool max all", "relu", "flatten", "linear 10"},
      {"conv 4", "batch-norm", "pool max 2", "relu", "flatten", "linear 10"},
      {"conv 4", "batch-norm", "relu", "pool average 2", "conv 4", "relu", "pool sum 2", "flatten",
       "linear 10"},
  };
  const Pass pass{true, nullptr, {}};
  for (const auto& layers : lists) {
    SCOPED_TRACE(testing::PrintToString(layers));
    Network network(layers, kImage, 10, 42, Kernels::kLibTorch);
    const Listed listed(layers, 42);
    const auto found = network.forward(images, pass), expected = listed.forward(images, pass);
    EXPECT_TRUE(torch::equal(found, expected));
    const auto gradients = torch::autograd::grad({found.square().sum()}, network.parameters());
    const auto wanted = torch::autograd::grad({expected.square().sum()}, listed.parameters());
    ASSERT_EQ(gradients.size(), wanted.size());
    for (size_t i = 0; i < gradients.size(); ++i) {
      EXPECT_TRUE(torch::allclose(gradients[i], wanted[i], 1e-5, 1e-5));
    }
  }
}

TEST(Network, RefusesAListThatDoesNotEndInTheClasses) {
  const auto message = [](const std::vector<std::string>& layers) {
    return refusal(ExitCode::kUsage, [&] { Network(layers, kImage, 10, 42); });
  };
  EXPECT_THAT(message({"flatten", "linear 9"}), HasSubstr("the last output is 9; expected 10"));
  EXPECT_THAT(message({"conv 10"}), HasSubstr("the last output is 10x32x32"));
  EXPECT_THAT(message({}), HasSubstr("the last output is 3x32x32"));
}

TEST(Network, NamesTheLayerThatShrinksTheImageAway) {
  std::vector<std::string> layers(6, "pool max 2");
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { Network(layers, kImage, 10, 42); }),
              HasSubstr("layer 5 (\"pool max 2\"): a window of 2x2 on an input of 3x1x1"));
}

}  // namespace
}  // namespace cifar
