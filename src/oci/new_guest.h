// SPDX-License-Identifier: Apache-2.0
// The directory of a new template while an import fills it, and its publication.
#pragma once

#include <string>
#include <vector>

#include "hot/hot_list.h"
#include "oci/description.h"
#include "oci/unpack.h"
#include "store/store.h"

namespace oci {

// What the user decides about a new template.
struct NewGuestRequest {
  std::string id;
  std::string name;                       // if empty, that of the description
  std::vector<std::string> shared_files;  // host files that all forks open
  bool assumes_no_paths = false;
};

// Throws base::Refused if the guest exists.
void refuse_existing(const store::Store& store, const std::string& id);
// Throws base::Refused if the description has shared files that the request does not name,
// base::BadData if its version of Firecracker is not one.
void check_request(const NewGuestRequest& request, const Description& description);

// Builds in .snapfork/tmp/oci-import.ID. The caller holds the exclusive lock of the id. Unless
// publish() has returned, the destructor removes the directory.
class NewGuest {
 public:
  // Creates the directory and its empty files with their lengths. A leftover of a killed import is
  // removed first. Throws as refuse_existing and check_request do.
  NewGuest(const store::Store& store, const NewGuestRequest& request,
           const Description& description);
  ~NewGuest();
  NewGuest(const NewGuest&) = delete;
  NewGuest(NewGuest&&) = delete;
  NewGuest& operator=(const NewGuest&) = delete;
  NewGuest& operator=(NewGuest&&) = delete;

  // The files of the description, in its order.
  const std::vector<Target>& targets() const { return targets_; }
  // Throws base::Error if the filesystem has less free space than `bytes`.
  void require_space(uint64_t bytes) const;

  // Checks the files against each other as the import of a snapshot does (meta::check_import), the
  // digest of the memory, and the hot lists; seals the memory; writes metadata and image.json;
  // flushes everything; and renames the directory into guests/. Throws base::BadData or
  // base::Refused.
  void publish();

 private:
  void check_hot_lists(const hot::ImageFacts& image) const;
  void warn_of_host() const;

  const store::Store& store_;
  const NewGuestRequest& request_;
  const Description& description_;
  std::string dir_;
  std::vector<Target> targets_;
  bool is_published_ = false;
};

}  // namespace oci
