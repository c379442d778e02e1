// SPDX-License-Identifier: Apache-2.0
// Names the hot lists of a template.
#include "meta/image/template_lists.h"

#include "store/files.h"

namespace meta {

std::string hpl1_path(const store::Store& store, std::string_view id) {
  return store.template_dir(id) + "/hot.hpl";
}

std::string hpl2_path(const store::Store& store, std::string_view id) {
  return store.template_dir(id) + "/hot.hpl2";
}

std::optional<std::string> list_of_template(const store::Store& store, std::string_view id) {
  for (std::string path : {hpl2_path(store, id), hpl1_path(store, id)}) {
    if (store::path_exists(path)) {
      return path;
    }
  }
  return std::nullopt;
}

}  // namespace meta
