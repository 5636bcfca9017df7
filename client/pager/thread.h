// Threads of the library: named, with every signal blocked, so that no handler
// of the program's runs on them (it may touch far memory).
#ifndef FARSWAP_CLIENT_PAGER_THREAD_H_
#define FARSWAP_CLIENT_PAGER_THREAD_H_

#include <functional>
#include <optional>
#include <thread>

namespace farswap::pager {

// `name`: at most 15 characters, for /proc and debuggers. Nothing if the
// system has no thread left for us.
std::optional<std::thread> StartThread(const char* name,
                                       std::function<void()> run);

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_THREAD_H_
