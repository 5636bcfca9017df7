// A file system in memory, mounted while the object lives. Needs root.
#ifndef FARSWAP_TESTS_SERVER_TMPFS_MOUNT_H_
#define FARSWAP_TESTS_SERVER_TMPFS_MOUNT_H_

#include <sys/mount.h>

#include <filesystem>
#include <string>

namespace farswap::server {

class TmpfsMount {
 public:
  // Makes the directory if need be.
  TmpfsMount(const std::string& path, const std::string& options,
             const char* type = "tmpfs")
      : path_(path) {
    std::filesystem::create_directories(path);
    mounted_ = mount("none", path.c_str(), type, 0, options.c_str()) == 0;
  }
  TmpfsMount(const TmpfsMount&) = delete;
  TmpfsMount& operator=(const TmpfsMount&) = delete;
  // Also when a test ends early, and what is in it is still open.
  ~TmpfsMount() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }

  bool mounted() const { return mounted_; }
  std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }

 private:
  const std::string path_;
  bool mounted_ = false;
};

}  // namespace farswap::server

#endif  // FARSWAP_TESTS_SERVER_TMPFS_MOUNT_H_
