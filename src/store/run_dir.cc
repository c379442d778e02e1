// SPDX-License-Identifier: Apache-2.0
// Finds the run directory in the environment.
#include "store/run_dir.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "store/files.h"

namespace store {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string beside(const std::string& control, std::string_view name) {
  const std::string path = absolute_path(control);
  return path.substr(0, path.rfind('/') + 1) + std::string(name);
}

}  // namespace

std::string find_control_socket() {
  if (std::string control = environment("SNAPFORK_PAGER"); !control.empty()) {
    return control;
  }
  if (::geteuid() == 0) {
    return "/run/snapfork/pager.sock";
  }
  const std::string runtime = environment("XDG_RUNTIME_DIR");
  return runtime.empty() ? "" : runtime + "/snapfork/pager.sock";
}

std::string socket_dir_of(const std::string& control) {
  return beside(control, "s");
}

std::string find_socket_dir() {
  const std::string control = find_control_socket();
  return control.empty() ? "" : socket_dir_of(control);
}

std::string default_socket_dir() {
  std::string dir = find_socket_dir();
  if (dir.empty()) {
    throw base::UsageError(
        "cannot find the page server: give --socket-dir, or set "
        "SNAPFORK_PAGER or XDG_RUNTIME_DIR");
  }
  return dir;
}

std::string find_vsock_dir() {
  const std::string control = find_control_socket();
  return control.empty() ? "" : beside(control, "v");
}

std::string find_vmm_dir() {
  const std::string control = find_control_socket();
  return control.empty() ? "" : beside(control, "vm");
}

}  // namespace store
