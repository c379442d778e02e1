// SPDX-License-Identifier: Apache-2.0
// Guests that have only the metadata that counting forks needs.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "store/store.h"

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

// Creates or overwrites the guest, with this text as its metadata.json.
inline void make_guest(const store::Store& store, const std::string& id, const std::string& json) {
  std::filesystem::create_directories(store.guest_dir(id));
  write_text(store.metadata_path(id), json);
}

inline void make_plain_guest(const store::Store& store, const std::string& id) {
  make_guest(store, id, R"({"Id":")" + id + R"("})");
}

inline void make_template(const store::Store& store, const std::string& id) {
  make_guest(store, id, R"({"Id":")" + id + R"(","IsTemplate":true})");
}

inline void make_fork(const store::Store& store, const std::string& id, const std::string& parent) {
  make_guest(store, id, R"({"Id":")" + id + R"(","ForkOfTemplate":")" + parent + R"("})");
}
