// SPDX-License-Identifier: Apache-2.0
// fc-run guest: runs a guest of the store.
#pragma once

namespace launch {

// `argv` begins with the word "guest". Throws as every main function of the suite.
int run_guest_verb(int argc, char** argv);

}  // namespace launch
