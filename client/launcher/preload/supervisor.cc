#include "client/launcher/preload/supervisor.h"

#include <sys/socket.h>

#include <cstddef>

namespace farswap::launcher::preload {
namespace {

constexpr int kNoDigit = -1;

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return kNoDigit;
}

bool ParseSecret(const char* text, uint8_t* secret) {
  for (uint32_t i = 0; i < kSecretBytes; ++i, text += 2) {
    const int high = Digit(text[0]);
    const int low = high == kNoDigit ? kNoDigit : Digit(text[1]);
    if (low == kNoDigit) return false;
    secret[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return *text == '\0';
}

// The secret's colon: a name may have some itself.
const char* LastColon(const char* text) {
  const char* colon = nullptr;
  for (; *text != '\0'; ++text) {
    if (*text == ':') colon = text;
  }
  return colon;
}

}  // namespace

const char* FindVariable(char* const* environment, const char* name) {
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const char* at = *environment;
    const char* wanted = name;
    while (*wanted != '\0' && *at == *wanted) ++at, ++wanted;
    if (*wanted == '\0' && *at == '=') return at + 1;
  }
  return nullptr;
}

bool ParseSupervisor(const char* text, Supervisor* supervisor) {
  const char* const colon = LastColon(text);
  // An abstract name begins with a zero.
  constexpr ptrdiff_t kNameBytesMax = sizeof(supervisor->address.sun_path) - 1;
  if (colon == nullptr || colon == text || colon - text > kNameBytesMax) {
    return false;
  }
  supervisor->address.sun_family = AF_UNIX;
  char* path = supervisor->address.sun_path;
  *path++ = '\0';
  for (const char* at = text; at != colon; ++at) *path++ = *at;
  supervisor->address_bytes = static_cast<uint32_t>(
      path - reinterpret_cast<const char*>(&supervisor->address));
  return ParseSecret(colon + 1, supervisor->secret);
}

}  // namespace farswap::launcher::preload
