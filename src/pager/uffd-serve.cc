// uffd-serve: gives VMMs the contents of their guests' memory when they ask for them.
// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "base/program.h"
#include "pager/control_command.h"
#include "pager/serve_command.h"

int main(int argc, char** argv) {
  return base::run_program("uffd-serve", argc, argv, [](int count, char** words) {
    if (count > 1 && std::string_view(words[1]) == "ctl") {
      return pager::run_control_command(count - 1, words + 1);
    }
    return pager::run_serve_command(count, words);
  });
}
