#include "client/launcher/preload/own_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "client/launcher/process_wire.h"

namespace farswap::launcher::preload {
namespace {

uint64_t* At(uint64_t address) { return reinterpret_cast<uint64_t*>(address); }

// Whether `check` holds in a forked child.
bool InChild(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0;
}

class OwnMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(MapOwnMemory(&own_), 0);
    *At(own_.tag_page) = 5;
  }
  void TearDown() override { UnmapOwnMemory(own_); }

  OwnMemory own_;
};

TEST_F(OwnMemoryTest, IsUsableButForItsGuard) {
  EXPECT_EQ(own_.transit % (2 << 20), 0U);
  EXPECT_EQ(own_.end - own_.transit, kTransitBytes);
  *At(own_.start + 4096) = 1;
  *At(own_.mover_stack_end - 8) = 1;
  *At(own_.end - 8) = 1;
  EXPECT_DEATH(*At(own_.start) = 1, "");
}

TEST_F(OwnMemoryTest, AChildHasAnEmptyTagPageOnly) {
  EXPECT_TRUE(InChild([this] { return *At(own_.tag_page) == 0; }));
  EXPECT_DEATH(*At(own_.mover_stack_end - 8) = 1, "");
  EXPECT_DEATH(*At(own_.transit) = 1, "");
}

TEST_F(OwnMemoryTest, AChildMapsItAtTheSameAddresses) {
  EXPECT_TRUE(InChild([this] {
    const OwnMemory before = own_;
    if (MapOwnMemoryInChild(&own_) != 0) return false;
    *At(own_.mover_stack_end - 8) = 1;
    *At(own_.transit) = 1;
    return own_.start == before.start && own_.end == before.end;
  }));
}

TEST_F(OwnMemoryTest, AChildMapsItElsewhereWhereThatIsTaken) {
  for (const bool transit : {false, true}) {
    EXPECT_TRUE(InChild([this, transit] {
      const OwnMemory before = own_;
      void* const at = At(transit ? own_.transit : own_.start + 4096);
      if (mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0) != at ||
          MapOwnMemoryInChild(&own_) != 0) {
        return false;
      }
      *At(own_.end - 8) = 1;
      return own_.start != before.start && *At(own_.tag_page) == 0;
    }));
  }
}

}  // namespace
}  // namespace farswap::launcher::preload
