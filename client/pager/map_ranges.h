// Of what addresses a change of the map is.
#ifndef FARSWAP_CLIENT_PAGER_MAP_RANGES_H_
#define FARSWAP_CLIENT_PAGER_MAP_RANGES_H_

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

// Whether all of `b` is in `a`.
inline bool Contains(const AddressRange& a, const AddressRange& b) {
  return a.first <= b.first && b.second <= a.second;
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
