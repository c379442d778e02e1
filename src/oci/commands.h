// SPDX-License-Identifier: Apache-2.0
// The entry points of template-oci: one function for each verb.
#pragma once

namespace oci {

// Each verb skips argv[0], and returns the exit status or throws.
int export_command(int argc, char** argv);
int import_command(int argc, char** argv);

}  // namespace oci
