// SPDX-License-Identifier: Apache-2.0
// What a reply of Firecracker's API means.
#pragma once

#include <string>
#include <string_view>

#include "http/client.h"

namespace fc {

// Returns "cannot PUT '/path': 400: TEXT" for a reply that is not a success, else an empty string.
// TEXT is the error of Firecracker ("fault_message") or of its HTTP server ("error"), else the
// whole body.
std::string failure_of(std::string_view method, std::string_view path,
                       const http::Client::Reply& reply);

}  // namespace fc
