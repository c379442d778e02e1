// SPDX-License-Identifier: Apache-2.0
// template-oci: exports templates as OCI image layouts, and imports them.
#include <array>
#include <csignal>

#include "base/options.h"
#include "base/program.h"
#include "base/verbs.h"
#include "oci/commands.h"

namespace {

constexpr std::array kVerbs{
    base::Verb{"export", oci::export_command},
    base::Verb{"import", oci::import_command},
};

constexpr const char* kFooter =
    R"(Verbs, each with its own --help:
  export ID DIR|-    write a template as an image layout, or as a tar of one
  import NEW DIR|-   make a template of an image layout

'skopeo copy oci:DIR:TAG docker://REGISTRY/NAME:TAG' pushes a layout.
SNAPFORK_ROOT is the directory of the store (default: /var/lib/snapfork).
Exit status: 0 done, 1 refused, 2 usage, 3 unsupported, 4 bad data, 5 system
error. See template-oci(1).)";

int run(int argc, char** argv) {
  // A file that becomes too large (RLIMIT_FSIZE) then gives EFBIG and a message; SIGXFSZ would end
  // the process, and leave its temporary files.
  static_cast<void>(std::signal(SIGXFSZ, SIG_IGN));
  base::Options options("template-oci", "VERB [OPTION]... [OPERAND]...",
                        "Move templates by OCI image layouts.");
  options.footer(kFooter);
  return base::run_verb(kVerbs, options, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("template-oci", argc, argv, run);
}
