// Anonymous mappings that start at a 2 MiB boundary.
#ifndef FARSWAP_CLIENT_PAGER_MAPPING_H_
#define FARSWAP_CLIENT_PAGER_MAPPING_H_

#include <cstddef>

namespace farswap::pager {

// Maps `bytes`, a multiple of 2 MiB, private, readable and writable, with
// MADV_HUGEPAGE (a fault in it leaves no empty page table, which would split a
// 2 MiB page moved in) and MADV_DONTFORK (unless a forked child is served: a
// touch there is SIGSEGV instead of zeros). Null when there is no address
// space. To be given back by munmap.
char* MapAligned(size_t bytes);

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_MAPPING_H_
