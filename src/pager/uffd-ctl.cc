// SPDX-License-Identifier: Apache-2.0
// uffd-ctl: controls a running page server and its sessions.
#include "base/program.h"
#include "pager/ctl/control_command.h"

int main(int argc, char** argv) {
  return base::run_program("uffd-ctl", argc, argv, pager::run_control_command);
}
