// Of what addresses a change of the map is.
#ifndef FARSWAP_CLIENT_PAGER_MAP_RANGES_H_
#define FARSWAP_CLIENT_PAGER_MAP_RANGES_H_

#include <algorithm>
#include <vector>

#include "client/pager/map_events.h"
#include "client/pager/region.h"
#include "client/pager/vacated.h"

namespace farswap::pager {

inline bool IsMove(const MapEvent& change) {
  return change.kind == MapEvent::Kind::kRemap;
}

inline AddressRange From(const MapEvent& change) {
  return {change.start, change.end};
}

// Empty if it is no move.
inline AddressRange To(const MapEvent& change) {
  if (!IsMove(change)) return {nullptr, nullptr};
  return {change.to, change.to + (change.end - change.start)};
}

inline bool Overlap(const AddressRange& a, const AddressRange& b) {
  return a.first < b.second && b.first < a.second;
}

inline AddressRange Both(const AddressRange& a, const AddressRange& b) {
  return {std::max(a.first, b.first), std::min(a.second, b.second)};
}

// What of the ranges is not in `cut`, which is not empty.
inline std::vector<AddressRange> Without(
    const std::vector<AddressRange>& ranges, const AddressRange& cut) {
  std::vector<AddressRange> rest;
  for (const AddressRange& range : ranges) {
    const AddressRange before{range.first, std::min(range.second, cut.first)};
    const AddressRange after{std::max(range.first, cut.second), range.second};
    if (before.first < before.second) rest.push_back(before);
    if (after.first < after.second) rest.push_back(after);
  }
  return rest;
}

// What of the range is none of the pieces', which are given by address.
inline std::vector<AddressRange> Without(
    const AddressRange& range, const std::vector<RegionTable::Piece>& pieces) {
  std::vector<AddressRange> rest;
  char* at = range.first;
  for (const RegionTable::Piece& piece : pieces) {
    if (at < piece.start) rest.emplace_back(at, piece.start);
    at = piece.end;
  }
  if (at < range.second) rest.emplace_back(at, range.second);
  return rest;
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_MAP_RANGES_H_
