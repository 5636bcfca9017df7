// How much to read ahead of faults: windows that grow while what was read
// ahead is used, and shrink when it is not. The formula is the kernel's
// (mm/swap_state.c, __swapin_nr_pages).
//
// What is read ahead, and how its use is noticed, is the pager's matter
// (pager/fault_size.h). The kernel notices by the soft fault on a page that it
// has read but not mapped; a soft fault costs more than a page's copy here, so
// what comes is mapped at once. The kernel's other window, by slots, is left
// out: it asks for a way back from a slot to its page, 8 bytes a slot.
#ifndef FARSWAP_CLIENT_CORE_READAHEAD_H_
#define FARSWAP_CLIENT_CORE_READAHEAD_H_

#include <cstdint>

namespace farswap::core {

// The next window, in what it is counted in (pages, parts), with the fault's
// own. `hits`: how much of what was read ahead was used since the fault
// before; `adjacent`: this one is next to that; `previous`: the window before,
// 0 if there was none.
//
//   no hits: the fault's own alone; with its neighbour if it is adjacent
//   else:    hits + 2, up to a power of two, at least 4
// never above `max`, never below half of the window before. So a stream of full
// use doubles its window up to the maximum; one bad window halves it.
uint32_t ReadaheadWindow(uint32_t hits, bool adjacent, uint32_t previous,
                         uint32_t max);

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_READAHEAD_H_
