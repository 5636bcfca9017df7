// What a folio's bytes are known by: the hash that says whether they changed,
// and the sums that say whether what comes back is what was sent.
#ifndef FARSWAP_CLIENT_PAGER_CONTENT_H_
#define FARSWAP_CLIENT_PAGER_CONTENT_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "client/core/swap_space.h"
#include "common/checksum.h"
#include "common/units.h"

namespace farswap::pager {

// One a part; PartsOf(order) of them are used.
using Sums = std::array<uint32_t, kPartsPerPmd>;

struct Content {
  uint64_t hash = 0;                           // Of the folio.
  std::array<uint64_t, kPartsPerPmd> parts{};  // Of each part.
};

// Hashes of the parts are known: combines them.
inline void CombineParts(Content* content, int order) {
  content->hash = 0;
  for (uint32_t i = 0; i < PartsOf(order); ++i) {
    content->hash = CombineHash(content->hash, content->parts[i]);
  }
}

inline size_t PartBytesOf(int order) {
  return BytesOf(std::min(order, kPartOrder));
}

inline Content HashContent(const char* bytes, int order) {
  Content content;
  const size_t part_bytes = PartBytesOf(order);
  for (uint32_t i = 0; i < PartsOf(order); ++i) {
    content.parts[i] = HashPart(bytes + i * part_bytes, part_bytes);
  }
  CombineParts(&content, order);
  return content;
}

// The sums of that content at that place.
inline Sums SumsOf(const Content& content, const core::ClusterGrant& grant,
                   uint32_t slot, int order) {
  Sums sums{};
  const uint32_t part_pages = PagesOf(std::min(order, kPartOrder));
  for (uint32_t i = 0; i < PartsOf(order); ++i) {
    sums[i] = Checksum(content.parts[i], grant.cluster, slot + i * part_pages,
                       grant.generation);
  }
  return sums;
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_CONTENT_H_
