// SPDX-License-Identifier: Apache-2.0
// How a server describes an endpoint to its successor: the text in the states of endpoint and
// sessions.
#pragma once

#include <string>
#include <string_view>

#include "pager/image/image.h"
#include "pager/serve/endpoints.h"

namespace pager {

// Everything of an endpoint but its descriptors. Only servers read it.
struct KeptText {
  Endpoint endpoint;  // without image and hot list
  std::string image_path;
  ImageIdentity identity;
  Image::View view = Image::View::unprotected;
  std::string hot_path;  // empty: none
};

std::string compose_kept_text(const Endpoint& endpoint);
// Throws base::BadData if the text is damaged.
KeptText parse_kept_text(std::string_view text);

}  // namespace pager
