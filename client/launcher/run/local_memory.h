// How much local memory the programs get if nobody says.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_LOCAL_MEMORY_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_LOCAL_MEMORY_H_

#include <cstdint>
#include <string>

namespace farswap::launcher {

// Half of this machine's memory, or of what the cgroup (version 2) of this
// process may have, whichever is less.
uint64_t DefaultLocalMemory();

// The least memory.max of the cgroup `path` and those above it, where cgroups
// are mounted at `mount`; UINT64_MAX if there is none.
uint64_t CgroupLimit(const std::string& mount, const std::string& path);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_LOCAL_MEMORY_H_
