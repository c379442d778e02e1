// SPDX-License-Identifier: Apache-2.0
// uffd-serve: serves the memory of guests, page by page, to VMMs that use a userfaultfd.
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/program.h"
#include "pager/serve/serve_command.h"

namespace {

// "uffd-serve ctl VERB" runs "uffd-ctl VERB", the program in the same directory.
[[noreturn]] void run_client(char** words) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string client = self.parent_path() / "uffd-ctl";
  std::string name = "uffd-ctl";
  words[0] = name.data();
  ::execv(client.c_str(), words);
  base::throw_errno("cannot run " + base::quoted(client));
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("uffd-serve", argc, argv, [](int count, char** words) {
    if (count > 1 && std::string_view(words[1]) == "ctl") {
      run_client(words + 1);
    }
    return pager::run_serve_command(count, words);
  });
}
