// SPDX-License-Identifier: Apache-2.0
// Prints what starting a guest needs, for snapshot-meta run-prepare and fc-run.
#pragma once

#include <string>

#include "meta/flows/run_prepare.h"

namespace meta {

// The record run_prepare.
std::string run_record(const std::string& id, const RunPreparation& run);
// Lines of a kind and its values, with tabs.
void print_run_facts(const RunPreparation& run);

}  // namespace meta
