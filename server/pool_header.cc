#include "server/pool_header.h"

#include <cstring>
#include <fstream>

#include "common/checksum.h"

namespace farswap::server {
namespace {

constexpr char kMagic[8] = {'F', 'A', 'R', 'S', 'W', 'A', 'P', 'P'};
constexpr uint64_t kFormat = 1;

void CopyId(const std::string& id, char (&to)[40]) {
  std::strncpy(to, id.c_str(), sizeof(to) - 1);
}

uint64_t Hash(const PoolHeader& header) {
  return HashPart(&header, offsetof(PoolHeader, hash));
}

}  // namespace

PoolHeader MakePoolHeader(const std::string& server_id, uint64_t incarnation,
                          uint64_t clusters) {
  PoolHeader header = {};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.format = kFormat;
  CopyId(server_id, header.server_id);
  CopyId(BootId(), header.boot_id);
  header.incarnation = incarnation;
  header.clusters = clusters;
  header.hash = Hash(header);
  return header;
}

HeaderState CheckPoolHeader(const PoolHeader& header) {
  static constexpr PoolHeader kZeros = {};
  if (std::memcmp(&header, &kZeros, sizeof(header)) == 0) {
    return HeaderState::kBlank;
  }
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return HeaderState::kForeign;
  }
  if (header.format != kFormat || header.hash != Hash(header)) {
    return HeaderState::kDamaged;
  }
  return HeaderState::kWhole;
}

std::string BootId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

bool IsSameBoot(const PoolHeader& header, const std::string& boot_id) {
  return !boot_id.empty() && header.boot_id == boot_id;
}

}  // namespace farswap::server
