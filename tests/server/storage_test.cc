#include "server/storage.h"

#include <unistd.h>

#include "server/error.h"
#include "tests/server/storage_fixture.h"

namespace farswap::server {
namespace {

class StorageTest : public StorageFixture {
 protected:
  Reason AttachReason(const Ownership::Attachment& session,
                      uint64_t incarnation) {
    return ReasonOf(
        ownership()
            .Attach(session.session, incarnation,
                    std::chrono::steady_clock::now() + std::chrono::seconds(20))
            .status());
  }

  // Opens again; whether it was a new incarnation, and every byte zero.
  void ExpectNewIncarnation(const Ownership::Attachment& session) {
    const uint64_t before = ownership().incarnation();
    ASSERT_TRUE(Open().ok());
    EXPECT_NE(ownership().incarnation(), before);
    EXPECT_EQ(log_.back().find("new incarnation"), 0u) << log_.back();
    EXPECT_EQ(AttachReason(session, before), Reason::kContentsLost);
    const auto other = OpenSession();
    for (const GrantRecord& grant : Allocate(other, 1, 8)) {
      EXPECT_EQ(ByteOf(grant), 0);
    }
  }
};

TEST_F(StorageTest, EverythingContinuesOnAMatch) {
  ASSERT_TRUE(Open().ok());
  const uint64_t incarnation = ownership().incarnation();
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 2);
  ASSERT_EQ(grants.size(), 2u);
  ByteOf(grants[1]) = 42;
  clock_.Advance(std::chrono::seconds(59));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Open().ok());
    EXPECT_EQ(ownership().incarnation(), incarnation);
    EXPECT_NE(log_.back().find("continues"), std::string::npos);
    EXPECT_EQ(ByteOf(grants[1]), 42);
    EXPECT_EQ(Allocate(session, 1, 2), grants);
    // The lease was renewed in full.
    EXPECT_EQ(storage_->sessions().Find(session.session)->StateAt(clock_.Now()),
              SessionState::kAlive);
  }
  EXPECT_EQ(AttachReason(session, incarnation), Reason::kUnspecified);
}

TEST_F(StorageTest, GenerationsAreNeverUsedTwice) {
  ASSERT_TRUE(Open().ok());
  uint64_t last = 0;
  for (uint64_t request = 1; request < 6; ++request) {
    const auto session = OpenSession();
    const auto grants = Allocate(session, request, 1);
    ASSERT_EQ(grants.size(), 1u);
    EXPECT_GT(grants[0].generation, last);
    last = grants[0].generation;
    ASSERT_TRUE(Open().ok());
  }
}

TEST_F(StorageTest, ANewPoolFileIsANewIncarnation) {
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  ByteOf(Allocate(session, 1, 1).at(0)) = 42;
  storage_.reset();
  ASSERT_TRUE(Open().ok());
  ASSERT_EQ(unlink((dir_ / "pool").c_str()), 0);
  ExpectNewIncarnation(session);
}

TEST_F(StorageTest, ATruncatedPoolFileIsANewIncarnation) {
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  ByteOf(Allocate(session, 1, 8).at(0)) = 42;
  const uint64_t incarnation = ownership().incarnation();
  storage_.reset();
  ASSERT_EQ(truncate((dir_ / "pool").c_str(), 5 * kClusterBytes), 0);
  ASSERT_TRUE(Open().ok());
  EXPECT_NE(ownership().incarnation(), incarnation);
  EXPECT_EQ(AttachReason(session, incarnation), Reason::kContentsLost);
}

TEST_F(StorageTest, AnotherServersPoolFileIsANewIncarnation) {
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  ByteOf(Allocate(session, 1, 1).at(0)) = 42;
  metadata_->identity.server_id = "another";
  ExpectNewIncarnation(session);
}

TEST_F(StorageTest, MetadataFromABackupIsANewIncarnation) {
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  const auto backup = std::make_shared<MemoryMetadata::State>(*metadata_);
  ByteOf(Allocate(session, 1, 1).at(0)) = 42;
  metadata_ = backup;
  ExpectNewIncarnation(session);
}

TEST_F(StorageTest, APoolFileFromAnEarlierStartIsANewIncarnation) {
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 1);
  std::filesystem::copy_file(dir_ / "pool", dir_ / "copy");
  ASSERT_TRUE(Open().ok());
  ByteOf(grants[0]) = 42;
  storage_.reset();
  std::filesystem::rename(dir_ / "copy", dir_ / "pool");
  auto opened = Open();
  ASSERT_TRUE(opened.ok()) << opened;
  EXPECT_NE(log_.back().find("older than the metadata"), std::string::npos)
      << log_.back();
}

TEST_F(StorageTest, AnAnonymousPoolIsAlwaysANewIncarnation) {
  options_.pool = {"anon", 8, false};
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  ByteOf(Allocate(session, 1, 1).at(0)) = 42;
  ExpectNewIncarnation(session);
}

TEST_F(StorageTest, WhatIsNotGrantedIsEmptyAfterAKill) {
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 3);
  for (const GrantRecord& grant : grants) ByteOf(grant) = 42;
  // As a kill leaves it between the free's commit and the emptying.
  metadata_->grants.erase({session.session, 1, grants[1].cluster});
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(ByteOf(grants[0]), 42);
  EXPECT_EQ(ByteOf(grants[1]), 0);
  EXPECT_EQ(ByteOf(grants[2]), 42);
}

TEST_F(StorageTest, AClusterThatIsGrantedTwiceIsDamageNotACrash) {
  ASSERT_TRUE(Open().ok());
  const auto grants = Allocate(OpenSession(), 1, 2);
  const auto record = [&](const GrantRecord& grant) -> GrantRecord& {
    return metadata_->grants[{grant.session, grant.request, grant.cluster}];
  };
  const GrantRecord second = record(grants[1]);
  record(grants[1]).cluster = grants[0].cluster;
  EXPECT_EQ(Open().code(), absl::StatusCode::kDataLoss);
  record(grants[1]) = second;
  EXPECT_TRUE(Open().ok());
  record(grants[1]).generation = 0;
  EXPECT_EQ(Open().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StorageTest, ARefusedStartLeavesTheFileAsClean) {
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 4);
  ASSERT_TRUE(storage_->Close().ok());
  const auto clean = [this] {
    storage_.reset();
    return (*Pool::Open(options_.pool))->facts().clean;
  };
  ASSERT_TRUE(clean());
  options_.pool.clusters = 2;
  EXPECT_FALSE(Open().ok());
  EXPECT_TRUE(clean());
  // Refused later, when the file has been taken over.
  options_.pool.clusters = 8;
  metadata_->failure = MemoryMetadata::Failure::kNotKept;
  EXPECT_FALSE(Open().ok());
  EXPECT_TRUE(clean());
}

TEST_F(StorageTest, ATruncatedFileIsNotGrownByAStartThatIsRefused) {
  ASSERT_TRUE(Open().ok());
  Allocate(OpenSession(), 1, 8);
  storage_.reset();
  const std::string path = dir_ / "pool";
  const uint64_t cut = 5 * kClusterBytes;
  ASSERT_EQ(truncate(path.c_str(), cut), 0);
  { ASSERT_TRUE(Pool::Open(options_.pool).ok()); }
  EXPECT_EQ(std::filesystem::file_size(path), cut);
  metadata_->failure = MemoryMetadata::Failure::kNotKept;
  EXPECT_FALSE(Open().ok());
  metadata_->failure = MemoryMetadata::Failure::kNone;
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(log_.back().find("new incarnation"), 0u) << log_.back();
}

TEST_F(StorageTest, ACapacityBelowWhatIsGrantedIsRefused) {
  ASSERT_TRUE(Open().ok());
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 4);
  ByteOf(grants[3]) = 42;
  options_.pool.clusters = 2;
  const absl::Status status = Open();
  EXPECT_NE(status.message().find("--capacity is too small"),
            absl::string_view::npos)
      << status;
  // Nothing was lost by trying.
  options_.pool.clusters = 16;
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(ByteOf(grants[3]), 42);
  EXPECT_EQ(Allocate(session, 2, 16).size(), 12u);
}

}  // namespace
}  // namespace farswap::server
