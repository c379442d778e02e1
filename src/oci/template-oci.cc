// SPDX-License-Identifier: Apache-2.0
// template-oci: exports templates as OCI image layouts, and imports them.
#include <string_view>

#include "base/error.h"
#include "base/options.h"
#include "base/program.h"
#include "oci/commands.h"

namespace {

constexpr const char* kFooter =
    R"(Verbs, each with its own --help:
  export ID DIR|-    write a template as an image layout, or as a tar of one
  import NEW DIR|-   make a template of an image layout

'skopeo copy oci:DIR:TAG docker://REGISTRY/NAME:TAG' pushes a layout.
SNAPFORK_ROOT is the directory of the store (default: /var/lib/snapfork).
Exit status: 0 done, 1 refused, 2 usage, 3 unsupported, 4 bad data, 5 system
error. See template-oci(1).)";

int run(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  if (word == "export") {
    return oci::export_command(argc - 1, argv + 1);
  }
  if (word == "import") {
    return oci::import_command(argc - 1, argv + 1);
  }
  base::Options options("template-oci", "VERB [OPTION]... [OPERAND]...",
                        "Move templates by OCI image layouts.");
  options.footer(kFooter);
  if (!options.parse(argc, argv)) {
    return 0;
  }
  throw base::UsageError(word.empty() ? "a verb is missing" : "unknown verb " + base::quoted(word));
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("template-oci", argc, argv, run);
}
