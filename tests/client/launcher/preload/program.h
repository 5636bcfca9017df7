// A program with the library, its streams being pipes of the test.
#ifndef FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PROGRAM_H_
#define FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PROGRAM_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace farswap::launcher {

std::string LibraryPath();
std::string GuestPath();

std::vector<std::string> Shell(const std::string& script);

bool Has(const std::string& text, const std::string& part);

class Program {
 public:
  // `run`: the value of FARSWAP_RUN; empty: it is not set. `in_child` is called
  // before exec.
  Program(const std::vector<std::string>& arguments, const std::string& run,
          const std::function<void()>& in_child = nullptr);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  void Say(const std::string& line) const;
  // One line of its stdout, without its end; "" after 20 s, or at the end.
  std::string Line() const;
  std::string Ask(const std::string& line) const;
  // Its wait status; -1 after 20 s.
  int Wait();
  // Its exit code, or minus its signal; 1000 after 20 s.
  int Code();
  // All of its stderr. After Wait.
  std::string Errors() const;

 private:
  pid_t pid_ = -1;
  bool over_ = false;
  int status_ = -1;
  int in_ = -1;
  int out_ = -1;
  int err_ = -1;
};

// Threads of `pid`; their names.
std::vector<std::string> Threads(pid_t pid);

}  // namespace farswap::launcher

#endif  // FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PROGRAM_H_
