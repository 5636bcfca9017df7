// A directory that ends with the test. Short: Unix sockets are made in it.
#ifndef FARSWAP_TESTS_SERVER_TEMP_DIR_H_
#define FARSWAP_TESTS_SERVER_TEMP_DIR_H_

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace farswap::server {

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/farswap.XXXXXX";
    path_ = mkdtemp(name);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

}  // namespace farswap::server

#endif  // FARSWAP_TESTS_SERVER_TEMP_DIR_H_
