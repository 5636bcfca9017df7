// How metadata records look in the store, format 1.
//
// Keys are big-endian, so that they sort as numbers; a grant's key begins
// with its session, so that a session's grants are one range, and then has
// its request, so that a repeated request is one short range.
//
//   identity   "identity"                     -> incarnation, sequence,
//                                                generation bound, server id
//   session    session:8                      -> epoch, deadline, name
//   grant      session:8 request:8 cluster:8  -> generation
//
// A value is the format's version (1 byte), its fields (little-endian), and a
// 64-bit hash of key, version and fields: a value that was damaged, or that
// belongs to another key, is found out.
#ifndef FARSWAP_SERVER_METADATA_FORMAT_H_
#define FARSWAP_SERVER_METADATA_FORMAT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/metadata.h"

namespace farswap::server {

inline constexpr uint8_t kMetadataFormat = 1;
inline constexpr std::string_view kIdentityKey = "identity";

std::string SessionKey(uint64_t session);
std::string RequestPrefix(uint64_t session, uint64_t request);
std::string GrantKey(const GrantRecord& grant);

std::string EncodeIdentity(const Identity& identity);
std::string EncodeSession(const SessionRecord& session);
std::string EncodeGrant(const GrantRecord& grant);

// DATA_LOSS for a damaged record, UNIMPLEMENTED for one of a newer format.
absl::StatusOr<Identity> DecodeIdentity(std::string_view value);
absl::StatusOr<SessionRecord> DecodeSession(std::string_view key,
                                            std::string_view value);
absl::StatusOr<GrantRecord> DecodeGrant(std::string_view key,
                                        std::string_view value);

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_METADATA_FORMAT_H_
