// The lines of --help that say what the options are.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace base {

// One option as its program names it.
struct OptionText {
  const char* name;      // the long one, without dashes
  char letter;           // or 0
  const char* argument;  // what stands for its value; nullptr: it takes none
  const char* help;
  const char* group;      // its heading, "" for none; nullptr: it is not shown
  bool optional = false;  // its value, which then stands behind "="
};

// A paragraph for each group, in the order in which the groups appear, in at most 80 columns.
std::string describe_options(std::span<const OptionText> options);

}  // namespace base
