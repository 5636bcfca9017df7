// From the seam's folios to the wire's.
#ifndef FARSWAP_CLIENT_REMOTE_FOLIO_BATCH_H_
#define FARSWAP_CLIENT_REMOTE_FOLIO_BATCH_H_

#include <cstddef>

#include "absl/types/span.h"
#include "client/remote/session.h"
#include "client/remote/transport.h"
#include "common/folio_wire.h"
#include "common/units.h"

namespace farswap::remote {

inline size_t BytesOfFolios(absl::Span<const FolioRef> folios) {
  size_t bytes = 0;
  for (const FolioRef& folio : folios) bytes += BytesOf(folio.order);
  return bytes;
}

// How many of the folios, from the first on, go into one call: one at least,
// all of one session.
inline size_t BatchOf(absl::Span<const FolioRef> folios,
                      const BatchLimits& limits) {
  size_t count = 0;
  size_t bytes = 0;
  for (const FolioRef& folio : folios) {
    bytes += BytesOf(folio.order);
    if (count > 0 && (count == limits.folios || bytes > limits.bytes ||
                      folio.grant.session != folios[0].grant.session)) {
      break;
    }
    ++count;
  }
  return count;
}

inline WireFolioHeader HeaderOf(const SessionView& view,
                                absl::Span<const FolioRef> folios) {
  WireFolioHeader header;
  header.session_id = view.id;
  header.epoch = view.epoch;
  for (const FolioRef& folio : folios) {
    header.folios.push_back({folio.grant.cluster, folio.grant.generation,
                             folio.slot, static_cast<uint32_t>(folio.order)});
  }
  return header;
}

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_FOLIO_BATCH_H_
