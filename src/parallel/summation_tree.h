// The one order in which S shards are added: a binary tree over the leaves 0 .. S-1. The node at
// (level, index) covers the leaves from index * 2^level on, 2^level of them or what is left; a node
// without a right sibling is its own parent's value. So floating-point sums depend on S alone, not
// on who holds which leaf.
#pragma once

#include <cstdint>
#include <vector>

#include "base/range.h"

namespace cifar {

struct TreeNode {
  int64_t level, index;

  bool operator==(const TreeNode&) const = default;
};

// Adds nodes that come from left to right. `add(left, right)` is called as soon as two siblings are
// there, and leaves their sum in `left`.
template <class Value>
class TreeSum {
 public:
  struct Entry {
    TreeNode node;
    Value value;
  };

  explicit TreeSum(int64_t leaves) : leaves_(leaves) {}

  template <class Add>
  void push(TreeNode node, Value value, Add add) {
    for (;;) {
      const bool right = node.index % 2 == 1;
      if (!right && has_sibling(node)) break;
      if (right) {
        const TreeNode left{node.level, node.index - 1};
        if (entries_.empty() || !(entries_.back().node == left)) break;
        add(entries_.back().value, value);
        value = std::move(entries_.back().value);
        entries_.pop_back();
      }
      if (is_root(node)) break;
      node = {node.level + 1, node.index / 2};
    }
    entries_.push_back({node, std::move(value)});
  }

  // What could not be added further for want of a sibling, from left to right.
  const std::vector<Entry>& entries() const { return entries_; }
  // The value that the last push() left behind, itself or as part of a sum.
  Value& back() { return entries_.back().value; }

 private:
  bool is_root(const TreeNode& node) const {
    return node.index == 0 && (int64_t{1} << node.level) >= leaves_;
  }
  // Whether a right sibling covers any leaf; the root has none and needs none.
  bool has_sibling(const TreeNode& node) const {
    return ((node.index + 1) << node.level) < leaves_;
  }

  int64_t leaves_;
  std::vector<Entry> entries_;
};

// The whole subtrees that the leaves of `range` make up, from left to right: at most
// 2 * log2(leaves), and one where the range is a subtree.
inline std::vector<TreeNode> subtrees_of(const Range& range, int64_t leaves) {
  TreeSum<int> sum(leaves);
  for (int64_t leaf = range.first; leaf < range.end(); ++leaf) {
    sum.push({0, leaf}, 0, [](int&, int) {});
  }
  std::vector<TreeNode> nodes;
  for (const auto& entry : sum.entries()) nodes.push_back(entry.node);
  return nodes;
}

}  // namespace cifar
