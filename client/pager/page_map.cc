#include "client/pager/page_map.h"

#include <algorithm>

#include "common/check.h"

namespace farswap::pager {
namespace {

constexpr uint64_t kBlocksPerTable = 512;

// What page `i` of a whole block is.
PageWord PartOfBlock(PageWord block, uint64_t i) {
  const PageWord word = block.OfPage();
  if (word.kind() != PageWord::Kind::kSwap) return word;
  return PageWord::Swap(word.entry() + static_cast<uint32_t>(i));
}

}  // namespace

PageMap::PageMap(uint64_t pages)
    : directory_((pages / kPagesPerPmd + kBlocksPerTable - 1) /
                 kBlocksPerTable) {}

PageMap::~PageMap() {
  for (std::atomic<Table*>& slot : directory_) {
    Table* table = slot.load(std::memory_order_relaxed);
    if (table == nullptr) continue;
    for (const PageWord word : *table) {
      if (word.kind() == PageWord::Kind::kLeaf) delete LeafOf(word);
    }
    delete table;
  }
}

PageMap::Leaf* PageMap::LeafOf(PageWord word) {
  return reinterpret_cast<Leaf*>(word.value() << 3);
}

PageWord* PageMap::BlockWord(uint64_t block) const {
  Table* table =
      directory_[block / kBlocksPerTable].load(std::memory_order_acquire);
  return table == nullptr ? nullptr : &(*table)[block % kBlocksPerTable];
}

PageWord& PageMap::MakeBlockWord(uint64_t block) {
  FARSWAP_CHECK(block / kBlocksPerTable < directory_.size());
  std::atomic<Table*>& slot = directory_[block / kBlocksPerTable];
  Table* table = slot.load(std::memory_order_acquire);
  if (table == nullptr) {
    auto fresh = std::make_unique<Table>();
    if (slot.compare_exchange_strong(table, fresh.get(),
                                     std::memory_order_acq_rel)) {
      table = fresh.release();
      tables_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  return (*table)[block % kBlocksPerTable];
}

PageMap::Leaf* PageMap::MakeLeaf(PageWord* word) {
  if (word->kind() == PageWord::Kind::kLeaf) return LeafOf(*word);
  Leaf* leaf = new Leaf;
  for (uint64_t i = 0; i < leaf->size(); ++i) {
    (*leaf)[i] = PartOfBlock(*word, i);
  }
  static_assert(alignof(Leaf) >= 8);
  *word = PageWord(PageWord::Kind::kLeaf, reinterpret_cast<uint64_t>(leaf) >> 3)
              .WithDiscarded(word->discarded());
  leaves_.fetch_add(1, std::memory_order_relaxed);
  return leaf;
}

PageWord PageMap::Get(uint64_t page) const {
  const PageWord* word = BlockWord(page / kPagesPerPmd);
  if (word == nullptr) return PageWord();
  const uint64_t i = page % kPagesPerPmd;
  if (word->kind() == PageWord::Kind::kLeaf) return (*LeafOf(*word))[i];
  return PartOfBlock(*word, i);
}

PageWord PageMap::GetBlock(uint64_t block) const {
  const PageWord* word = BlockWord(block);
  return word == nullptr ? PageWord() : *word;
}

void PageMap::Set(uint64_t page, int order, PageWord word) {
  PageWord& block = MakeBlockWord(page / kPagesPerPmd);
  if (order == kPmdOrder) {
    const bool leaf = block.kind() == PageWord::Kind::kLeaf;
    const bool table = leaf || block.has_table();
    if (leaf) {
      delete LeafOf(block);
      leaves_.fetch_sub(1, std::memory_order_relaxed);
    }
    block = word.WithTable(table).WithDiscarded(block.discarded());
    return;
  }
  Leaf& leaf = *MakeLeaf(&block);
  for (uint32_t i = 0; i < PagesOf(order); ++i) {
    leaf[page % kPagesPerPmd + i] = PartOfBlock(word, i);
  }
}

void PageMap::SetTable(uint64_t block, bool table) {
  PageWord& word = MakeBlockWord(block);
  if (word.kind() != PageWord::Kind::kLeaf) word = word.WithTable(table);
}

void PageMap::SetDiscarded(uint64_t block) {
  PageWord& word = MakeBlockWord(block);
  word = word.WithDiscarded(true);
}

void PageMap::Fold(uint64_t block) {
  PageWord& word = MakeBlockWord(block);
  if (word.kind() != PageWord::Kind::kLeaf) return;
  const Leaf& leaf = *LeafOf(word);
  const PageWord first = leaf.front();
  const bool swap =
      first.kind() == PageWord::Kind::kSwap && first.entry().slot() == 0;
  if (!swap && !first.is_zeros()) return;
  for (uint64_t i = 0; i < leaf.size(); ++i) {
    const bool same =
        swap ? leaf[i] == PartOfBlock(first, i) : leaf[i].is_zeros();
    if (!same) return;
  }
  Set(block * kPagesPerPmd, kPmdOrder, first);
}

bool PageMap::AllZeros(uint64_t page, int order) const {
  const PageWord* word = BlockWord(page / kPagesPerPmd);
  if (word == nullptr) return true;
  if (word->kind() != PageWord::Kind::kLeaf) return word->is_zeros();
  const auto first = LeafOf(*word)->begin() + page % kPagesPerPmd;
  return std::all_of(first, first + PagesOf(order),
                     [](PageWord w) { return w.is_zeros(); });
}

bool PageMap::IsSwapRun(uint64_t page, int order, core::SwapEntry entry) const {
  const PageWord* word = BlockWord(page / kPagesPerPmd);
  if (word == nullptr) return false;
  const uint64_t first = page % kPagesPerPmd;
  const PageWord expected = PageWord::Swap(entry);
  if (word->kind() != PageWord::Kind::kLeaf) {
    return word->kind() == PageWord::Kind::kSwap &&
           PartOfBlock(*word, first) == expected;
  }
  const Leaf& leaf = *LeafOf(*word);
  for (uint32_t i = 0; i < PagesOf(order); ++i) {
    if (leaf[first + i] != PartOfBlock(expected, i)) return false;
  }
  return true;
}

void PageMap::ForEachBlock(
    absl::FunctionRef<void(uint64_t block)> visit) const {
  for (uint64_t t = 0; t < directory_.size(); ++t) {
    const Table* table = directory_[t].load(std::memory_order_acquire);
    if (table == nullptr) continue;
    for (uint64_t i = 0; i < kBlocksPerTable; ++i)
      visit(t * kBlocksPerTable + i);
  }
}

size_t PageMap::MetadataBytes() const {
  return directory_.size() * sizeof(directory_[0]) +
         tables_.load(std::memory_order_relaxed) * sizeof(Table) +
         leaves_.load(std::memory_order_relaxed) * sizeof(Leaf);
}

}  // namespace farswap::pager
