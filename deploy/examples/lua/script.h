// Running a Lua script as `lua` does.
#ifndef FARSWAP_DEPLOY_EXAMPLES_LUA_SCRIPT_H_
#define FARSWAP_DEPLOY_EXAMPLES_LUA_SCRIPT_H_

#include <string>
#include <vector>

#include "deploy/examples/lua/heap.h"

namespace farswap::farlua {

// Runs script[0] ("-": standard input) with the arguments script[1..], in
// `...` and the table `arg`, with the standard libraries. An error goes to
// standard error with a traceback. Returns the exit status, 0 or 1; a script
// that calls os.exit ends the process from inside, by exit().
//
// At the end the state is closed, as `lua` does: finalizers run, whether the
// script ended well or by an error. That walks the whole heap, to free it
// object by object, and fetches what is far of it; a script that has nothing
// to finalize ends with os.exit(), which does not.
int RunScript(Heap* heap, const std::vector<std::string>& script);

}  // namespace farswap::farlua

#endif  // FARSWAP_DEPLOY_EXAMPLES_LUA_SCRIPT_H_
