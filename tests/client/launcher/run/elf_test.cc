#include "client/launcher/run/elf.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace farswap::launcher {
namespace {

constexpr RealIds kSomeone{65534, 65534};

class ElfTest : public testing::Test {
 public:
  ~ElfTest() override { std::filesystem::remove_all(folder_); }

 protected:
  ElfTest() {
    char folder[] = "/tmp/farswap-elf-test-XXXXXX";
    folder_ = mkdtemp(folder);
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  std::string Copy(const std::string& name, mode_t mode) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::copy_file("/bin/true", path);
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }

  std::string folder_;
};

std::string Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(ElfTest, AnOrdinaryProgramIsPreloaded) {
  EXPECT_EQ(WhyNotPreloaded("/bin/true", kSomeone), "");
}

TEST_F(ElfTest, AStaticProgramIsNot) {
  const std::string path = std::getenv("TEST_STATIC_PROGRAM");
  EXPECT_EQ(WhyNotPreloaded(path, kSomeone), "static");
}

TEST_F(ElfTest, NorOneOfAnotherMachine) {
  std::string bytes = Bytes("/bin/true");
  bytes[18] ^= 0x55;  // e_machine.
  EXPECT_EQ(WhyNotPreloaded(Write("other", bytes), kSomeone),
            "for another machine");
  bytes[4] = 1;  // EI_CLASS.
  EXPECT_EQ(WhyNotPreloaded(Write("narrow", bytes), kSomeone), "of 32 bits");
}

TEST_F(ElfTest, SetuidCountsWhereItChangesWho) {
  const std::string path = Copy("setuid", 04755);
  EXPECT_EQ(WhyNotPreloaded(path, kSomeone), "setuid");
  EXPECT_EQ(WhyNotPreloaded(path, {getuid(), getgid()}), "");
}

TEST_F(ElfTest, SetgidCountsWhereTheGroupMayExecute) {
  EXPECT_EQ(WhyNotPreloaded(Copy("setgid", 02755), kSomeone), "setgid");
  EXPECT_EQ(WhyNotPreloaded(Copy("lock", 02745), kSomeone), "");
}

TEST_F(ElfTest, FileCapabilitiesCountForAllButRoot) {
  const std::string path = Copy("capable", 0755);
  // VFS_CAP_REVISION_2, effective: CAP_NET_RAW.
  const uint32_t data[] = {0x02000001, 1U << 13, 0, 0, 0};
  if (setxattr(path.c_str(), "security.capability", data, sizeof(data), 0) !=
      0) {
    GTEST_SKIP() << "NOT TESTED: no file capabilities here";
  }
  EXPECT_EQ(WhyNotPreloaded(path, kSomeone), "given capabilities by its file");
  EXPECT_EQ(WhyNotPreloaded(path, {0, 0}), "");
}

TEST_F(ElfTest, OfAScriptTheInterpreterCounts) {
  const std::string path = std::getenv("TEST_STATIC_PROGRAM");
  const std::string absolute = std::filesystem::absolute(path);
  const std::string script = Write("script", "#! \t" + absolute + " static\n");
  EXPECT_EQ(WhyNotPreloaded(script, kSomeone), "static");
  EXPECT_EQ(WhyNotPreloaded(Write("outer", "#!" + script), kSomeone), "static");
  EXPECT_EQ(WhyNotPreloaded(Write("shell", "#!/bin/sh -e\n"), kSomeone), "");
}

TEST_F(ElfTest, ScriptsThatCallEachOtherEnd) {
  const std::string path = folder_ + "/loop";
  Write("loop", "#!" + path + "\n");
  EXPECT_EQ(WhyNotPreloaded(path, kSomeone), "");
}

TEST_F(ElfTest, WhatIsNoProgramIsNotJudged) {
  const std::string bytes = Bytes("/bin/true");
  for (const std::string& text :
       {std::string(), std::string("#!"), std::string("#!\n"),
        std::string("echo"), bytes.substr(0, 40)}) {
    EXPECT_EQ(WhyNotPreloaded(Write("file", text), kSomeone), "");
  }
  // Its segments are cut off.
  EXPECT_EQ(WhyNotPreloaded(Write("cut", bytes.substr(0, 100)), kSomeone), "");
  EXPECT_EQ(WhyNotPreloaded(folder_ + "/none", kSomeone), "");
}

}  // namespace
}  // namespace farswap::launcher
