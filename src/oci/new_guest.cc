// SPDX-License-Identifier: Apache-2.0
// Makes a sealed template of unpacked files, and publishes it by one rename.
#include "oci/new_guest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "file/directory.h"
#include "hot/region.h"
#include "meta/flows/init.h"
#include "meta/flows/init_check.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest.h"
#include "meta/guest/host_record.h"
#include "meta/guest/snapshot_record.h"
#include "meta/image/hot_list_bounds.h"
#include "meta/image/image_record.h"
#include "meta/image/make_record.h"
#include "meta/vmstate/formats.h"
#include "store/files.h"
#include "store/seal.h"

namespace oci {
namespace {

constexpr mode_t kFileMode = 0644;
constexpr mode_t kDirMode = 0755;

std::string staging_of(const store::Store& store, const std::string& id) {
  return store.tmp_dir() + "/oci-import." + id;
}

meta::CheckedImport check_files(const store::Store& store, const meta::InitRequest& request) {
  try {
    return meta::check_import(store, request);
  } catch (const base::UsageError& error) {
    throw base::BadData(error.what());  // the names are those of the layout, not of the user
  }
}

[[noreturn]] void throw_existing(const std::string& id) {
  throw base::Refused("cannot import " + base::quoted(id) +
                      ": the guest exists; choose another id or delete it");
}

}  // namespace

void refuse_existing(const store::Store& store, const std::string& id) {
  if (meta::guest_exists(store, id)) {
    throw_existing(id);
  }
}

void check_request(const NewGuestRequest& request, const Description& description) {
  for (const std::string& path : meta::shared_files(description.metadata)) {
    if (std::ranges::find(request.shared_files, path) == request.shared_files.end()) {
      throw base::Refused("cannot import " + base::quoted(request.id) +
                          ": the template needs the file " + base::quoted(path) +
                          " of the host, which the layout does not have; copy it to this host, and "
                          "name it with --shared-file");
    }
  }
  const std::string version = meta::snapshot_vmm(description.metadata);
  if (!version.empty() && !meta::vmstate::is_vmm_version(version)) {
    throw base::BadData("cannot import " + base::quoted(request.id) + ": " + base::quoted(version) +
                        " is not a version of Firecracker");
  }
}

NewGuest::NewGuest(const store::Store& store, const NewGuestRequest& request,
                   const Description& description)
    : store_(store),
      request_(request),
      description_(description),
      dir_(staging_of(store, request.id)) {
  refuse_existing(store, request.id);
  check_request(request, description);
  store::remove_tree(store, dir_);
  try {
    store::make_dirs(dir_ + "/snapshots/snapshot-latest", kDirMode);
    store::make_dirs(dir_ + "/template/forks", kDirMode);
    for (const TemplateFile& file : description.files) {
      const std::string path = dir_ + "/" + file.path_in_guest();
      Target target{.fd = store.open_below(path, O_RDWR | O_CREAT | O_EXCL, kFileMode),
                    .path = path};
      if (::ftruncate(target.fd.get(), static_cast<off_t>(file.bytes)) != 0) {
        base::throw_errno("cannot set the length of " + base::quoted(path) + " to " +
                          std::to_string(file.bytes) + " bytes");
      }
      targets_.push_back(std::move(target));
    }
  } catch (...) {
    store::remove_tree(store, dir_);
    throw;
  }
}

NewGuest::~NewGuest() {
  if (is_published_) {
    return;
  }
  try {
    store::remove_tree(store_, dir_);
  } catch (const std::exception&) {
    // The first failure is reported. The next import of this id, and fsck, remove the directory.
  }
}

void NewGuest::require_space(uint64_t bytes) const {
  struct statvfs space {};
  if (::statvfs(dir_.c_str(), &space) != 0) {
    base::throw_errno("cannot stat the filesystem of " + base::quoted(dir_));
  }
  const uint64_t blocks = ::geteuid() == 0 ? space.f_bfree : space.f_bavail;
  if (bytes / space.f_frsize > blocks) {
    throw base::Error(base::ExitCode::system,
                      "cannot import " + base::quoted(request_.id) + ": it needs " +
                          std::to_string(bytes >> 20U) + " MiB, and " +
                          std::to_string(blocks * space.f_frsize >> 20U) + " MiB are free in " +
                          base::quoted(store_.root()));
  }
}

void NewGuest::check_hot_lists(const hot::ImageFacts& image) const {
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (is_hot_list(description_.files[i].role)) {
      const std::string problem =
          meta::hot_list_problem(targets_[i].fd.get(), targets_[i].path, image);
      if (!problem.empty()) {
        throw base::BadData("cannot import " + base::quoted(request_.id) +
                            ": its hot list: " + problem);
      }
    }
  }
}

void NewGuest::warn_of_host() const {
  for (const std::string& difference :
       meta::host_differences(description_.metadata, meta::this_host())) {
    base::say_warning(base::quoted(request_.id) + ": " + difference);
  }
  struct sysinfo info {};
  const uint64_t memory = description_.files[kMemoryFile].bytes;
  if (::sysinfo(&info) == 0 && uint64_t{info.totalram} * info.mem_unit < memory) {
    base::say_warning(base::quoted(request_.id) + ": its guest has " +
                      std::to_string(memory >> 20U) + " MiB of memory, and this host has " +
                      std::to_string(uint64_t{info.totalram} * info.mem_unit >> 20U) + " MiB");
  }
}

void NewGuest::publish() {
  meta::InitRequest files{.id = request_.id,
                          .name = request_.name,
                          .state = targets_[kStateFile].path,
                          .memory = targets_[kMemoryFile].path,
                          .disks = {},
                          .shared_files = request_.shared_files,
                          .assumes_no_paths = request_.assumes_no_paths,
                          .firecracker = meta::snapshot_vmm(description_.metadata)};
  for (size_t i = kMemoryFile + 1; i < targets_.size(); ++i) {
    if (is_disk(description_.files[i].role)) {
      files.disks.push_back(
          {.file = targets_[i].path, .embedded_path = description_.files[i].path});
    }
  }
  const meta::CheckedImport checked = check_files(store_, files);
  warn_of_host();

  const Target& memory = targets_[kMemoryFile];
  const uint64_t page_size = checked.state.page_size == meta::vmstate::PageSize::huge_2m
                                 ? hot::kHugePage
                                 : hot::kSmallPage;
  const meta::ImageRecord record = meta::make_image_record(memory.fd.get(), memory.path, page_size);
  if (record.digest != description_.memory_digest) {
    throw base::BadData("cannot import " + base::quoted(request_.id) +
                        ": its memory has the digest " + record.digest +
                        ", and its description says " + base::quoted(description_.memory_digest));
  }
  check_hot_lists(
      {.memory_bytes = record.memory_bytes, .digest = record.digest, .page_size = page_size});
  const mode_t mode = base::stat_fd(memory.fd.get(), memory.path).st_mode & ALLPERMS;
  if (::fchmod(memory.fd.get(), mode & ~store::kWriteBits) != 0) {
    base::throw_errno("cannot seal " + base::quoted(memory.path));
  }
  base::write_file_atomic(dir_ + "/template/image.json", meta::to_json(record), kFileMode,
                          base::Durable::no);

  const std::string name = description_.metadata.text("Name");
  meta::Metadata metadata =
      meta::new_guest_metadata(request_.id,
                               !request_.name.empty() ? request_.name
                               : !name.empty()        ? name
                                                      : request_.id,
                               static_cast<int64_t>(description_.files[kMemoryFile].bytes));
  meta::set_disks(metadata, checked.disks);
  meta::record_disks(metadata, dir_);
  if (!files.firecracker.empty()) {
    meta::set_snapshot_vmm(metadata, files.firecracker, "import");
  }
  if (const std::optional<meta::Host> host = meta::recorded_host(description_.metadata)) {
    meta::record_host(metadata, *host);
  }
  if (!request_.shared_files.empty()) {
    meta::set_shared_files(metadata, request_.shared_files);
  }
  if (request_.assumes_no_paths && !checked.state.paths_problem.empty()) {
    meta::set_assumes_no_paths(metadata);
  }
  metadata.set_flag("IsTemplate", true);
  metadata.write(dir_ + "/metadata.json", base::Durable::no);

  const base::Fd dir = store_.open_below(dir_, O_RDONLY | O_DIRECTORY);
  file::sync_tree(dir.get(), dir_);
  targets_.clear();
  if (!store::rename_new(store_, dir_, store_.guest_dir(request_.id))) {
    throw_existing(request_.id);
  }
  is_published_ = true;
  store::sync_dir(store_.guests_dir());
  store::sync_dir(store_.tmp_dir());
}

}  // namespace oci
