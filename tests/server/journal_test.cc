#include "server/journal.h"

#include <gtest/gtest.h>

#include <thread>

#include "server/error.h"
#include "tests/server/memory_metadata.h"
#include "tests/server/temp_dir.h"

namespace farswap::server {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pool = Pool::Open({dir_ / "pool", 1, false});
    ASSERT_TRUE(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
    ASSERT_TRUE(pool_->Erase().ok());
    ASSERT_TRUE(pool_->Format("server", 1, 10).ok());
    state_->identity = {"server", 1, 10, 1};
    journal_ =
        std::make_unique<Journal>(&metadata_, pool_.get(), state_->identity);
  }

  // As the next start would find it.
  PoolFacts Facts() {
    journal_.reset();
    pool_.reset();
    return (*Pool::Open({dir_ / "pool", 1, false}))->facts();
  }

  TempDir dir_;
  std::shared_ptr<MemoryMetadata::State> state_ =
      std::make_shared<MemoryMetadata::State>();
  MemoryMetadata metadata_{state_};
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalTest, KeepsThePoolsMarksInStep) {
  ASSERT_TRUE(journal_->Commit(Change{}).ok());
  EXPECT_EQ(state_->identity.sequence, 11u);
  const PoolFacts facts = Facts();
  EXPECT_EQ(facts.intended, 11u);
  EXPECT_EQ(facts.committed, 11u);
}

TEST_F(JournalTest, AFailedWriteLeavesTheSequenceBetweenTheMarks) {
  state_->failure = MemoryMetadata::Failure::kKept;
  EXPECT_EQ(ReasonOf(journal_->Commit(Change{})), Reason::kMetadataUnavailable);
  const PoolFacts facts = Facts();
  EXPECT_LE(facts.committed, state_->identity.sequence);
  EXPECT_GE(facts.intended, state_->identity.sequence);
}

TEST_F(JournalTest, AfterAFailureNothingIsWrittenUntilReopened) {
  state_->failure = MemoryMetadata::Failure::kNotKept;
  EXPECT_FALSE(journal_->Commit(Change{}).ok());
  state_->failure = MemoryMetadata::Failure::kNone;
  EXPECT_EQ(ReasonOf(journal_->Commit(Change{})), Reason::kMetadataUnavailable);
  EXPECT_EQ(state_->writes, 1);
  EXPECT_NE(journal_->problem(), "");
  ASSERT_TRUE(journal_->Reopen().ok());
  EXPECT_EQ(journal_->problem(), "");
  EXPECT_TRUE(journal_->Commit(Change{}).ok());
}

TEST_F(JournalTest, ReopensOnlyWhatItWrote) {
  ASSERT_TRUE(journal_->Commit(Change{}).ok());
  state_->failure = MemoryMetadata::Failure::kKept;
  EXPECT_FALSE(journal_->Commit(Change{}).ok());
  state_->failure = MemoryMetadata::Failure::kNone;
  const Identity ours{"server", 1, 12, 1};
  ASSERT_EQ(state_->identity, ours);
  for (const Identity& other :
       {Identity{"another", 1, 12, 1}, Identity{"server", 2, 12, 1},
        Identity{"server", 1, 10, 1}, Identity{"server", 1, 13, 1}}) {
    state_->identity = other;
    EXPECT_NE(journal_->Reopen().message().find("restart farswap-server"),
              absl::string_view::npos);
    EXPECT_EQ(ReasonOf(journal_->Commit(Change{})),
              Reason::kMetadataUnavailable);
    EXPECT_NE(journal_->problem().find("restart"), std::string::npos);
  }
  // Kept or not, both are ours.
  state_->identity = {"server", 1, 11, 1};
  EXPECT_TRUE(journal_->Reopen().ok());
  state_->identity = ours;
  EXPECT_TRUE(journal_->Reopen().ok());
  EXPECT_TRUE(journal_->Commit(Change{}).ok());
  EXPECT_EQ(Facts().committed, state_->identity.sequence);
}

TEST_F(JournalTest, WhoComesWhileAWriteIsUnderWayIsWrittenInOneGo) {
  constexpr size_t kThreads = 8;
  state_->on_write = [&, first = true]() mutable {
    // Until all the others wait behind this one.
    while (first && journal_->waiting() < kThreads) std::this_thread::yield();
    first = false;
  };
  std::vector<std::thread> threads;
  for (uint64_t thread = 1; thread <= kThreads; ++thread) {
    threads.emplace_back([this, thread] {
      Change change;
      change.put_sessions.push_back({thread, 1, 0, ""});
      EXPECT_TRUE(journal_->Commit(change).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(state_->sessions.size(), kThreads);
  EXPECT_EQ(state_->writes, 2);
  EXPECT_EQ(state_->largest_group, kThreads - 1);
}

TEST_F(JournalTest, EveryOneOfManyCommitsIsKept) {
  constexpr uint64_t kThreads = 8, kEach = 200;
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([this, thread] {
      for (uint64_t i = 0; i < kEach; ++i) {
        Change change;
        change.put_sessions.push_back({thread * kEach + i + 1, 1, 0, ""});
        EXPECT_TRUE(journal_->Commit(change).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(state_->sessions.size(), kThreads * kEach);
}

}  // namespace
}  // namespace farswap::server
