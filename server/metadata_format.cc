#include "server/metadata_format.h"

#include <endian.h>

#include <cstring>

#include "common/checksum.h"

namespace farswap::server {
namespace {

constexpr size_t kHashBytes = sizeof(uint64_t);

void AppendKey(uint64_t number, std::string* key) {
  const uint64_t big = htobe64(number);
  key->append(reinterpret_cast<const char*>(&big), sizeof(big));
}

uint64_t KeyPart(std::string_view key, size_t index) {
  uint64_t big;
  std::memcpy(&big, key.data() + index * sizeof(big), sizeof(big));
  return be64toh(big);
}

void Append(uint64_t field, std::string* value) {
  const uint64_t little = htole64(field);
  value->append(reinterpret_cast<const char*>(&little), sizeof(little));
}

uint64_t Field(std::string_view fields, size_t index) {
  uint64_t little;
  std::memcpy(&little, fields.data() + index * sizeof(little), sizeof(little));
  return le64toh(little);
}

uint64_t Hash(std::string_view key, std::string_view value) {
  return CombineHash(HashPart(key.data(), key.size()),
                     HashPart(value.data(), value.size()));
}

std::string NewValue() { return std::string(1, char{kMetadataFormat}); }

// Ends a value.
std::string Seal(std::string_view key, std::string value) {
  Append(Hash(key, value), &value);
  return value;
}

// Verifies a value and returns its fields, of which there are at least
// `fixed` 64-bit ones.
absl::StatusOr<std::string_view> Unseal(std::string_view key,
                                        std::string_view value, size_t fixed) {
  if (value.size() < 1 + kHashBytes) {
    return absl::DataLossError("a metadata record is cut short");
  }
  const std::string_view body = value.substr(0, value.size() - kHashBytes);
  if (Field(value.substr(body.size()), 0) != Hash(key, body)) {
    return absl::DataLossError("a metadata record is damaged");
  }
  if (static_cast<uint8_t>(body[0]) > kMetadataFormat) {
    return absl::UnimplementedError("a newer farswap-server wrote it");
  }
  const std::string_view fields = body.substr(1);
  if (fields.size() < fixed * sizeof(uint64_t)) {
    return absl::DataLossError("a metadata record lacks fields");
  }
  return fields;
}

}  // namespace

std::string SessionKey(uint64_t session) {
  std::string key;
  AppendKey(session, &key);
  return key;
}

std::string RequestPrefix(uint64_t session, uint64_t request) {
  std::string key = SessionKey(session);
  AppendKey(request, &key);
  return key;
}

std::string GrantKey(const GrantRecord& grant) {
  std::string key = RequestPrefix(grant.session, grant.request);
  AppendKey(grant.cluster, &key);
  return key;
}

std::string EncodeIdentity(const Identity& identity) {
  std::string value = NewValue();
  Append(identity.incarnation, &value);
  Append(identity.sequence, &value);
  Append(identity.generation_bound, &value);
  value += identity.server_id;
  return Seal(kIdentityKey, std::move(value));
}

std::string EncodeSession(const SessionRecord& session) {
  std::string value = NewValue();
  Append(session.epoch, &value);
  Append(session.fault_deadline_ms, &value);
  value += session.client_name;
  return Seal(SessionKey(session.id), std::move(value));
}

std::string EncodeGrant(const GrantRecord& grant) {
  std::string value = NewValue();
  Append(grant.generation, &value);
  return Seal(GrantKey(grant), std::move(value));
}

absl::StatusOr<Identity> DecodeIdentity(std::string_view value) {
  const auto fields = Unseal(kIdentityKey, value, 3);
  if (!fields.ok()) return fields.status();
  Identity identity;
  identity.incarnation = Field(*fields, 0);
  identity.sequence = Field(*fields, 1);
  identity.generation_bound = Field(*fields, 2);
  identity.server_id = fields->substr(3 * sizeof(uint64_t));
  return identity;
}

absl::StatusOr<SessionRecord> DecodeSession(std::string_view key,
                                            std::string_view value) {
  const auto fields = Unseal(key, value, 2);
  if (!fields.ok()) return fields.status();
  if (key.size() != sizeof(uint64_t)) {
    return absl::DataLossError("a session's key has a wrong length");
  }
  SessionRecord session;
  session.id = KeyPart(key, 0);
  session.epoch = static_cast<uint32_t>(Field(*fields, 0));
  session.fault_deadline_ms = Field(*fields, 1);
  session.client_name = fields->substr(2 * sizeof(uint64_t));
  return session;
}

absl::StatusOr<GrantRecord> DecodeGrant(std::string_view key,
                                        std::string_view value) {
  const auto fields = Unseal(key, value, 1);
  if (!fields.ok()) return fields.status();
  if (key.size() != 3 * sizeof(uint64_t)) {
    return absl::DataLossError("a grant's key has a wrong length");
  }
  return GrantRecord{KeyPart(key, 0), KeyPart(key, 1), KeyPart(key, 2),
                     Field(*fields, 0)};
}

}  // namespace farswap::server
