#include "deploy/examples/lua/script.h"

#include <signal.h>

#include <cstdio>
#include <cstring>
#include <lua5.4/lua.hpp>

namespace farswap::farlua {
namespace {

// For the signal handler; one script runs in a process.
lua_State* running = nullptr;

// ^C is an error of the script, so that the program ends in good order; a
// second one ends it at once.
void Interrupt(lua_State* lua, lua_Debug*) {
  lua_sethook(lua, nullptr, 0, 0);
  luaL_error(lua, "interrupted!");
}

void OnSigint(int) {
  signal(SIGINT, SIG_DFL);
  lua_sethook(running, Interrupt,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

// The error as a string, with the traceback of where it was raised.
int AddTraceback(lua_State* lua) {
  const char* message = lua_tostring(lua, 1);
  if (message == nullptr) {
    if (luaL_callmeta(lua, 1, "__tostring") && lua_isstring(lua, -1)) return 1;
    message = lua_pushfstring(lua, "(error object is a %s value)",
                              luaL_typename(lua, 1));
  }
  luaL_traceback(lua, lua, message, 1);
  return 1;
}

// As in `lua`: arg[0] is the script, arg[1..] its arguments.
void SetArgTable(lua_State* lua, const std::vector<std::string>& script) {
  lua_createtable(lua, static_cast<int>(script.size()) - 1, 1);
  for (size_t i = 0; i < script.size(); ++i) {
    lua_pushlstring(lua, script[i].data(), script[i].size());
    lua_rawseti(lua, -2, static_cast<lua_Integer>(i));
  }
  lua_setglobal(lua, "arg");
}

// Protected: allocating may fail. On the stack: the script, as a pointer.
int LoadAndRun(lua_State* lua) {
  const auto& script =
      *static_cast<const std::vector<std::string>*>(lua_touserdata(lua, 1));
  lua_settop(lua, 0);
  luaL_openlibs(lua);
  SetArgTable(lua, script);
  // As `lua` does; for a far heap it is also what fetches least.
  lua_gc(lua, LUA_GCGEN, 0, 0);
  lua_pushcfunction(lua, AddTraceback);
  const char* file = script[0] == "-" ? nullptr : script[0].c_str();
  if (luaL_loadfile(lua, file) != LUA_OK) return lua_error(lua);
  luaL_checkstack(lua, static_cast<int>(script.size()), "too many arguments");
  for (size_t i = 1; i < script.size(); ++i) {
    lua_pushlstring(lua, script[i].data(), script[i].size());
  }
  const int arguments = static_cast<int>(script.size()) - 1;
  if (lua_pcall(lua, arguments, 0, 1) != LUA_OK) return lua_error(lua);
  return 0;
}

// Without a message handler of the script's: an error here is the last one.
int Panic(lua_State* lua) {
  const char* message = lua_tostring(lua, -1);
  std::fprintf(stderr, "farlua: %s\n", message ? message : "unprotected error");
  return 0;  // Lua aborts.
}

// What warn() and errors in finalizers say: off, as in `lua`, until the
// script calls warn("@on"). On the way between calls: that state.
struct Warnings {
  bool on = false;
  bool continued = false;
};

void Warn(void* to, const char* message, int to_continue) {
  auto* const warnings = static_cast<Warnings*>(to);
  const bool control =
      !warnings->continued && to_continue == 0 && message[0] == '@';
  if (control) {
    if (std::strcmp(message, "@on") == 0) warnings->on = true;
    if (std::strcmp(message, "@off") == 0) warnings->on = false;
    return;
  }
  if (warnings->on) {
    std::fprintf(stderr, "%s%s%s",
                 warnings->continued ? "" : "Lua warning: ", message,
                 to_continue != 0 ? "" : "\n");
  }
  warnings->continued = to_continue != 0;
}

// Prints the error on the stack, as `lua` does.
void PrintError(lua_State* lua) {
  const char* message = lua_tostring(lua, -1);
  std::fflush(stdout);
  std::fprintf(stderr, "farlua: %s\n",
               message ? message : "(error object is not a string)");
}

}  // namespace

int RunScript(Heap* heap, const std::vector<std::string>& script) {
  lua_State* const lua = lua_newstate(Heap::Allocate, heap);
  if (lua == nullptr) {
    std::fprintf(stderr, "farlua: not enough memory for a Lua state\n");
    return 1;
  }
  lua_atpanic(lua, Panic);
  // Not of this function's: os.exit closes the state after it is left.
  static Warnings warnings;
  lua_setwarnf(lua, Warn, &warnings);
  running = lua;
  signal(SIGINT, OnSigint);
  lua_pushcfunction(lua, LoadAndRun);
  lua_pushlightuserdata(lua, const_cast<std::vector<std::string>*>(&script));
  const int status = lua_pcall(lua, 1, 0, 0);
  signal(SIGINT, SIG_DFL);
  if (status != LUA_OK) PrintError(lua);
  lua_close(lua);
  return status == LUA_OK ? 0 : 1;
}

}  // namespace farswap::farlua
