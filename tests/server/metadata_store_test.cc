#include "server/metadata_store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/server/temp_dir.h"

namespace farswap::server {
namespace {

Change SampleChange() {
  Change change;
  change.generation_bound = 100;
  change.put_sessions.push_back({5, 2, 1000, "five"});
  change.put_sessions.push_back({6, 1, 2000, "six"});
  change.grants = {
      {5, 1, 10, 50}, {5, 1, 11, 51}, {5, 2, 12, 52}, {6, 1, 13, 53}};
  return change;
}

TEST(MetadataStoreTest, KeepsWhatWasWritten) {
  TempDir dir;
  std::string id;
  {
    auto store = MetadataStore::Open(dir / "data");
    ASSERT_TRUE(store.ok()) << store.status();
    id = (*store)->Load()->identity.server_id;
    EXPECT_EQ(id.size(), 32u);
    const Change change = SampleChange();
    ASSERT_TRUE((*store)->Write({&change}, 7).ok());
  }
  auto store = MetadataStore::Open(dir / "data");
  ASSERT_TRUE(store.ok()) << store.status();
  const auto contents = (*store)->Load();
  ASSERT_TRUE(contents.ok());
  EXPECT_EQ(contents->identity, (Identity{id, 0, 7, 100}));
  EXPECT_EQ(contents->sessions, SampleChange().put_sessions);
  EXPECT_EQ(contents->grants, SampleChange().grants);
}

TEST(MetadataStoreTest, FindsARequestsGrants) {
  TempDir dir;
  auto store = MetadataStore::Open(dir / "data");
  const Change change = SampleChange();
  ASSERT_TRUE((*store)->Write({&change}, 1).ok());
  EXPECT_EQ((*store)->FindRequest(5, 1)->size(), 2u);
  EXPECT_EQ((*store)->FindRequest(5, 2)->size(), 1u);
  EXPECT_EQ((*store)->FindRequest(5, 3)->size(), 0u);
  Change free;
  free.frees.push_back({5, 1, 10, 50});
  ASSERT_TRUE((*store)->Write({&free}, 2).ok());
  EXPECT_EQ(*(*store)->FindRequest(5, 1),
            (std::vector<GrantRecord>{{5, 1, 11, 51}}));
}

TEST(MetadataStoreTest, AnEndedSessionTakesItsGrantsAlong) {
  TempDir dir;
  auto store = MetadataStore::Open(dir / "data");
  const Change change = SampleChange();
  Change end;
  end.end_sessions.push_back(5);
  ASSERT_TRUE((*store)->Write({&change, &end}, 1).ok());
  const auto contents = (*store)->Load();
  ASSERT_EQ(contents->sessions.size(), 1u);
  EXPECT_EQ(contents->grants, (std::vector<GrantRecord>{{6, 1, 13, 53}}));
}

TEST(MetadataStoreTest, ANewIncarnationDropsAllButTheIdentity) {
  TempDir dir;
  auto store = MetadataStore::Open(dir / "data");
  const Change change = SampleChange();
  ASSERT_TRUE((*store)->Write({&change}, 1).ok());
  Change fresh;
  fresh.new_incarnation = 77;
  ASSERT_TRUE((*store)->Write({&fresh}, 2).ok());
  const auto contents = (*store)->Load();
  EXPECT_TRUE(contents->sessions.empty());
  EXPECT_TRUE(contents->grants.empty());
  EXPECT_EQ(contents->identity.incarnation, 77u);
  EXPECT_EQ(contents->identity.generation_bound, 100u);
}

TEST(MetadataStoreTest, ReopensInTheSameProcess) {
  TempDir dir;
  auto store = MetadataStore::Open(dir / "data");
  const Change change = SampleChange();
  ASSERT_TRUE((*store)->Write({&change}, 3).ok());
  const Identity before = (*store)->Load()->identity;
  const auto reopened = (*store)->Reopen();
  ASSERT_TRUE(reopened.ok()) << reopened.status();
  EXPECT_EQ(*reopened, before);
  EXPECT_EQ((*store)->Load()->grants.size(), 4u);
}

TEST(MetadataStoreTest, ReopeningMakesNothingAnew) {
  TempDir dir;
  auto store = MetadataStore::Open(dir / "data");
  const Identity before = (*store)->Load()->identity;
  std::filesystem::rename(dir / "data/metadata", dir / "away");
  EXPECT_FALSE((*store)->Reopen().ok());
  std::filesystem::create_directories(dir / "data/metadata");
  EXPECT_FALSE((*store)->Reopen().ok());
  EXPECT_FALSE(std::filesystem::exists(dir / "data/metadata/CURRENT"));
  EXPECT_FALSE((*store)->Write({}, 1).ok());
  std::filesystem::remove_all(dir / "data/metadata");
  // Another server's is not refused here, but named.
  const Identity other =
      (*MetadataStore::Open(dir / "other"))->Load()->identity;
  std::filesystem::rename(dir / "other/metadata", dir / "data/metadata");
  EXPECT_EQ(*(*store)->Reopen(), other);
  (*store)->Close();
  std::filesystem::remove_all(dir / "data/metadata");
  std::filesystem::rename(dir / "away", dir / "data/metadata");
  EXPECT_EQ(*(*store)->Reopen(), before);
}

// Not every failure that has "lock" in its words is about the lock.
TEST(MetadataStoreTest, ADirectoryThatCannotBeReadIsNotOneInUse) {
  TempDir dir;
  { ASSERT_TRUE(MetadataStore::Open(dir / "data").ok()); }
  // RocksDB cannot open it for the lock.
  std::filesystem::remove(dir / "data/metadata/LOCK");
  std::filesystem::create_directory(dir / "data/metadata/LOCK");
  const auto store = MetadataStore::Open(dir / "data");
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().message().find("another farswap-server"),
            absl::string_view::npos)
      << store.status();
}

TEST(MetadataStoreTest, RefusesADirectoryInUse) {
  TempDir dir;
  auto first = MetadataStore::Open(dir / "data");
  ASSERT_TRUE(first.ok());
  const auto second = MetadataStore::Open(dir / "data");
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("another farswap-server"),
            absl::string_view::npos)
      << second.status();
}

TEST(MetadataStoreTest, RefusesAForeignDirectory) {
  TempDir dir;
  std::filesystem::create_directories(dir / "data/metadata");
  std::ofstream(dir / "data/metadata/photo.jpg") << "x";
  const auto store = MetadataStore::Open(dir / "data");
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.status().message().find("not made by farswap-server"),
            absl::string_view::npos)
      << store.status();
  EXPECT_TRUE(std::filesystem::exists(dir / "data/metadata/photo.jpg"));
}

TEST(MetadataStoreTest, BeginsAgainAfterAFirstStartThatWasKilled) {
  TempDir dir;
  std::filesystem::create_directories(dir / "data/metadata");
  std::ofstream(dir / "data/metadata/LOCK") << "";
  std::ofstream(dir / "data/metadata/LOG") << "x";
  EXPECT_TRUE(MetadataStore::Open(dir / "data").ok());
}

TEST(MetadataStoreTest, SaysWhatToDoWithADamagedStore) {
  TempDir dir;
  {
    auto store = MetadataStore::Open(dir / "data");
    const Change change = SampleChange();
    ASSERT_TRUE((*store)->Write({&change}, 1).ok());
  }
  for (const auto& entry :
       std::filesystem::directory_iterator(dir / "data/metadata")) {
    if (entry.path().filename().string().rfind("MANIFEST", 0) == 0) {
      std::ofstream(entry.path(), std::ios::trunc) << "nonsense";
    }
  }
  const auto store = MetadataStore::Open(dir / "data");
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.status().message().find("damaged"), absl::string_view::npos)
      << store.status();
  EXPECT_NE(store.status().message().find("restore"), absl::string_view::npos);
}

TEST(MetadataStoreTest, RefusesAPathThatIsNoDirectory) {
  TempDir dir;
  std::ofstream(dir / "file") << "x";
  EXPECT_FALSE(MetadataStore::Open(dir / "file").ok());
}

}  // namespace
}  // namespace farswap::server
