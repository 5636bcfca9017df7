#include "server/cluster_directory.h"

namespace farswap::server {

ClusterDirectory::~ClusterDirectory() {
  for (const std::atomic<Node*>& entry : root_) {
    Node* const node = entry.load(std::memory_order_relaxed);
    if (node == nullptr) continue;
    for (const std::atomic<Leaf*>& leaf : *node) {
      delete leaf.load(std::memory_order_relaxed);
    }
    delete node;
  }
}

ClusterRecord* ClusterDirectory::Find(uint64_t cluster) const {
  if (RootIndex(cluster) >= root_.size()) return nullptr;
  Node* const node = root_[RootIndex(cluster)].load(std::memory_order_acquire);
  if (node == nullptr) return nullptr;
  Leaf* const leaf =
      (*node)[NodeIndex(cluster)].load(std::memory_order_acquire);
  return leaf == nullptr ? nullptr : &(*leaf)[LeafIndex(cluster)];
}

ClusterRecord* ClusterDirectory::Make(uint64_t cluster) {
  std::atomic<Node*>& root = root_.at(RootIndex(cluster));
  Node* node = root.load(std::memory_order_relaxed);
  if (node == nullptr) {
    node = new Node();
    allocated_bytes_ += sizeof(Node);
    root.store(node, std::memory_order_release);
  }
  std::atomic<Leaf*>& entry = (*node)[NodeIndex(cluster)];
  Leaf* leaf = entry.load(std::memory_order_relaxed);
  if (leaf == nullptr) {
    leaf = new Leaf();
    allocated_bytes_ += sizeof(Leaf);
    entry.store(leaf, std::memory_order_release);
  }
  return &(*leaf)[LeafIndex(cluster)];
}

}  // namespace farswap::server
