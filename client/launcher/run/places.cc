#include "client/launcher/run/places.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <vector>

namespace farswap::launcher {
namespace {

// What execvp takes where there is no PATH.
constexpr char kDefaultPath[] = "/bin:/usr/bin";

bool IsFile(const std::string& path, int mode) {
  struct stat file {};
  return stat(path.c_str(), &file) == 0 && S_ISREG(file.st_mode) &&
         access(path.c_str(), mode) == 0;
}

std::string Absolute(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) == nullptr ? path : resolved;
}

std::string OwnFolder() {
  const std::string self = Absolute("/proc/self/exe");
  return self.substr(0, self.rfind('/'));
}

struct Part {
  const char* name;
  const char* variable;
  std::vector<const char*> folders;  // From that of this program.
  const char* told;
  int mode;
};

Place Find(const Part& part) {
  if (const char* named = getenv(part.variable); named != nullptr) {
    if (IsFile(named, part.mode)) return {Absolute(named), ""};
    return {"", std::string(part.variable) + "=" + named +
                    " is not a file that can be used; name " + part.name};
  }
  const std::string own = OwnFolder();
  for (const char* folder : part.folders) {
    const std::string path = own + "/" + folder + "/" + part.name;
    if (IsFile(path, part.mode)) return {Absolute(path), ""};
  }
  return {"", std::string(part.name) +
                  " is neither beside this program, nor in " + part.told +
                  "; set " + part.variable + " to its path"};
}

CommandPlace NotFound(const std::string& name) {
  return {"", 127, name + ": not found; name a program in PATH, or its path"};
}

CommandPlace Unusable(const std::string& name, int error) {
  return {"", 126, name + ": " + std::strerror(error)};
}

// 0, or why `path` cannot be executed.
int ExecutableError(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return errno;
  if (S_ISDIR(file.st_mode)) return EISDIR;
  if (!S_ISREG(file.st_mode)) return EACCES;
  return access(path.c_str(), X_OK) == 0 ? 0 : errno;
}

}  // namespace

Place FindPreload() {
  Place place = Find({"libfarswap-preload.so",
                      "FARSWAP_PRELOAD",
                      {".", "../lib/farswap", "../preload"},
                      "../lib/farswap",
                      R_OK});
  if (place.path.find_first_of(" :") != std::string::npos) {
    return {"", place.path +
                    " cannot be in LD_PRELOAD, which is separated by blanks "
                    "and colons; install it in a folder without them"};
  }
  return place;
}

Place FindPager() {
  return Find({"farswap-pager",
               "FARSWAP_PAGER",
               {".", "../libexec/farswap", "../bin", "../pager"},
               "../libexec/farswap, nor in ../bin",
               X_OK});
}

CommandPlace FindCommand(const std::string& name) {
  if (name.empty()) return NotFound("''");
  if (name.find('/') != std::string::npos) {
    const int error = ExecutableError(name);
    if (error == 0) return {name, 0, ""};
    const bool missing = error == ENOENT || error == ENOTDIR;
    return missing ? NotFound(name) : Unusable(name, error);
  }
  const char* path = getenv("PATH");
  std::istringstream folders(path == nullptr ? kDefaultPath : path);
  int unusable = 0;
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
    const int error = ExecutableError(candidate);
    if (error == 0) return {candidate, 0, ""};
    if (error == EACCES) unusable = error;
  }
  return unusable == 0 ? NotFound(name) : Unusable(name, unusable);
}

}  // namespace farswap::launcher
