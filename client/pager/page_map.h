// The page map of a region: what each of its pages is, the counterpart of the
// kernel's page table entries.
//
// By block (2 MiB): one word for a block whose pages are all of one kind, else
// a leaf of 512 words, one a page. Blocks are reached through a directory of
// 512-word tables, so that an untouched region costs 8 bytes a GiB.
//
//   bit 63  62   61 ......... 3   2  1  0
//       H   R        value        [ kind ]
//
//   kNone      never touched: zeros. Value 0.
//   kZero      was taken out as zeros; nothing is kept of it.
//   kFolio     value = folio id: mapped.
//   kSwap      value = swap entry: in a slot, or in the swap cache. For a
//              block: slots 0..511 of one cluster, one after another.
//   kPoisoned  lost; touching it is SIGBUS.
//   kHole      not the region's: unmapped, or moved elsewhere.
//   kLeaf      value = address of the leaf >> 3. Blocks only.
//   H          blocks only: the kernel may have a table of small pages for
//              this block, so a 2 MiB page moved in would arrive as 512.
//   R          blocks only, also of leaves, and for good: the program discarded
//              pages here (madvise). The discard itself comes some time after
//              its event, so a page that was mapped since may be absent, and
//              is zeros then.
//
// Not thread-safe as such: words of a block are guarded by its block lock.
// Growth of the directory is lock-free, so that blocks do not share a lock.
#ifndef FARSWAP_CLIENT_PAGER_PAGE_MAP_H_
#define FARSWAP_CLIENT_PAGER_PAGE_MAP_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "client/core/swap_entry.h"
#include "common/units.h"

namespace farswap::pager {

class PageWord {
 public:
  enum class Kind : uint8_t {
    kNone,
    kZero,
    kFolio,
    kSwap,
    kPoisoned,
    kLeaf,
    kHole
  };

  constexpr PageWord() = default;
  constexpr PageWord(Kind kind, uint64_t value)
      : raw_(static_cast<uint64_t>(kind) | value << kValueShift) {}
  static constexpr PageWord Folio(uint32_t id) { return {Kind::kFolio, id}; }
  static constexpr PageWord Swap(core::SwapEntry entry) {
    return {Kind::kSwap, entry.raw()};
  }

  constexpr Kind kind() const { return static_cast<Kind>(raw_ & 7); }
  constexpr uint64_t value() const {
    return (raw_ & ~kBlockBits) >> kValueShift;
  }
  constexpr core::SwapEntry entry() const {
    return core::SwapEntry::FromRaw(value());
  }
  constexpr bool is_zeros() const {
    return kind() == Kind::kNone || kind() == Kind::kZero;
  }
  constexpr bool has_table() const { return (raw_ & kTableBit) != 0; }
  constexpr bool discarded() const { return (raw_ & kDiscardedBit) != 0; }
  constexpr PageWord WithTable(bool table) const {
    return With(kTableBit, table);
  }
  constexpr PageWord WithDiscarded(bool discarded) const {
    return With(kDiscardedBit, discarded);
  }
  // As a page's word.
  constexpr PageWord OfPage() const { return With(kBlockBits, false); }
  constexpr bool operator==(const PageWord&) const = default;

 private:
  static constexpr int kValueShift = 3;
  static constexpr uint64_t kTableBit = uint64_t{1} << 63;
  static constexpr uint64_t kDiscardedBit = uint64_t{1} << 62;
  static constexpr uint64_t kBlockBits = kTableBit | kDiscardedBit;
  static_assert(core::kSwapEntryBits + kValueShift <= 62);

  constexpr PageWord With(uint64_t bits, bool set) const {
    PageWord word = *this;
    word.raw_ = set ? raw_ | bits : raw_ & ~bits;
    return word;
  }

  uint64_t raw_ = 0;
};
static_assert(sizeof(PageWord) == 8);

class PageMap {
 public:
  explicit PageMap(uint64_t pages);
  ~PageMap();
  PageMap(const PageMap&) = delete;
  PageMap& operator=(const PageMap&) = delete;

  // REQUIRES, of all below: the caller holds the lock of the pages' block.

  // The page's word; of a whole block, as its leaf would have it.
  PageWord Get(uint64_t page) const;
  // The block's own word, of whatever kind.
  PageWord GetBlock(uint64_t block) const;

  // Sets the words of the 2^order pages from `page`, a multiple of that. To a
  // kSwap word the page's distance is added; others are set as they are. A
  // whole block (order 9) needs no leaf; less makes one.
  void Set(uint64_t page, int order, PageWord word);
  // Marks whether a whole block may have a table of small pages.
  void SetTable(uint64_t block, bool table);
  // Marks that pages of the block were discarded (R).
  void SetDiscarded(uint64_t block);
  // Replaces a leaf whose words are all slots 0..511 of one cluster, or all
  // zeros, by one word, with H set.
  void Fold(uint64_t block);

  // Whether all 2^order pages from `page` are kNone or kZero.
  bool AllZeros(uint64_t page, int order) const;
  // Whether they are kSwap, in consecutive slots from `entry`.
  bool IsSwapRun(uint64_t page, int order, core::SwapEntry entry) const;

  // Calls `visit` for every block that may be other than kNone; takes no lock.
  void ForEachBlock(absl::FunctionRef<void(uint64_t block)> visit) const;

  // Bytes allocated for directory, tables and leaves.
  size_t MetadataBytes() const;

 private:
  using Leaf = std::array<PageWord, kPagesPerPmd>;
  using Table = std::array<PageWord, 512>;

  static Leaf* LeafOf(PageWord word);
  PageWord* BlockWord(uint64_t block) const;  // Null: never touched.
  PageWord& MakeBlockWord(uint64_t block);
  Leaf* MakeLeaf(PageWord* word);

  std::vector<std::atomic<Table*>> directory_;
  std::atomic<uint64_t> tables_{0};
  std::atomic<uint64_t> leaves_{0};
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_PAGE_MAP_H_
