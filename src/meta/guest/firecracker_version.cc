// SPDX-License-Identifier: Apache-2.0
// Runs `PROGRAM --version` and parses its first line, "Firecracker v1.16.0".
#include "meta/guest/firecracker_version.h"

#include <chrono>
#include <string_view>

#include "base/deadline.h"
#include "base/error.h"
#include "base/program_output.h"
#include "meta/vmstate/formats.h"

namespace meta {

std::string firecracker_version(const std::string& text) {
  constexpr std::string_view kStart = "Firecracker v";
  constexpr size_t kMostBytes = 65536;
  if (vmstate::is_vmm_version(text)) {
    return text;
  }
  const base::ProgramOutput output = base::program_output(
      {text, "--version"}, kMostBytes, base::Deadline::after(std::chrono::seconds(5)));
  const std::string line = output.text.substr(0, output.text.find('\n'));
  std::string version = line.starts_with(kStart) ? line.substr(kStart.size()) : "";
  if (output.exit_status != 0 || !vmstate::is_vmm_version(version)) {
    throw base::BadData("cannot use " + base::quoted(text) +
                        " as a Firecracker: '--version' exits with status " +
                        std::to_string(output.exit_status) + " and prints " + base::quoted(line));
  }
  return version;
}

}  // namespace meta
