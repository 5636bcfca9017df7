// The version of the whole: server, library and tools are released as one.
#ifndef FARSWAP_COMMON_VERSION_H_
#define FARSWAP_COMMON_VERSION_H_

namespace farswap {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace farswap

#endif  // FARSWAP_COMMON_VERSION_H_
