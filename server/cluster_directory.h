// The record of every cluster that was ever granted, found by its number.
//
// A tree of three levels like a page table's: 1024 x 1024 x 512 records reach
// 2^29 clusters, 1 PiB. Inner nodes and leaves are made when the first cluster
// in them is granted and never freed, so that readers need no lock: what a
// reader has found stays a record until the directory ends. Static cost: the
// root's 8 KiB, whatever the capacity.
//
// At most 48 bytes a granted cluster: 40 for the record; the leaf's share of
// its parents is 8/512 of a byte. Clusters are handed out from the lowest
// number up, so leaves are full but for the last.
#ifndef FARSWAP_SERVER_CLUSTER_DIRECTORY_H_
#define FARSWAP_SERVER_CLUSTER_DIRECTORY_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace farswap::server {

inline constexpr uint32_t kNoCluster = ~uint32_t{0};

struct ClusterRecord {
  // 0 while nobody owns the cluster. Raised last when it is granted, lowered
  // first when it is freed.
  std::atomic<uint64_t> generation{0};
  std::atomic<uint64_t> session{0};
  uint64_t request = 0;
  // Uses of the cluster's bytes under way.
  std::atomic<uint32_t> pins{0};
  // The session's list, or the free list.
  uint32_t next = kNoCluster;
  uint32_t prev = kNoCluster;
};
static_assert(sizeof(ClusterRecord) == 40);

class ClusterDirectory {
 public:
  ClusterDirectory() = default;
  ClusterDirectory(const ClusterDirectory&) = delete;
  ClusterDirectory& operator=(const ClusterDirectory&) = delete;
  ~ClusterDirectory();

  // Null if no cluster near it was ever granted. Thread-safe.
  ClusterRecord* Find(uint64_t cluster) const;

  // Makes the record if need be. The callers exclude each other.
  ClusterRecord* Make(uint64_t cluster);

  // What the directory has allocated, the root not counted.
  size_t allocated_bytes() const { return allocated_bytes_; }

 private:
  static constexpr int kLeafBits = 9;
  static constexpr int kNodeBits = 10;
  using Leaf = std::array<ClusterRecord, size_t{1} << kLeafBits>;
  using Node = std::array<std::atomic<Leaf*>, size_t{1} << kNodeBits>;

  static size_t RootIndex(uint64_t cluster) {
    return cluster >> (kLeafBits + kNodeBits);
  }
  static size_t NodeIndex(uint64_t cluster) {
    return (cluster >> kLeafBits) & ((size_t{1} << kNodeBits) - 1);
  }
  static size_t LeafIndex(uint64_t cluster) {
    return cluster & ((size_t{1} << kLeafBits) - 1);
  }

  std::array<std::atomic<Node*>, size_t{1} << kNodeBits> root_ = {};
  size_t allocated_bytes_ = 0;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_CLUSTER_DIRECTORY_H_
