// SPDX-License-Identifier: Apache-2.0
// Opens a template for an export, and collects the facts for its annotations.
#include "oci/template_files.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file_status.h"
#include "base/json_line.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/host_record.h"
#include "meta/guest/snapshot_record.h"
#include "meta/image/image_record.h"
#include "meta/image/template_lists.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/vmstate.h"

namespace oci {
namespace {

constexpr const char* kPrefix = "io.snapfork.";

meta::Metadata metadata_of_template(const store::Store& store, const std::string& id) {
  meta::require_guest(store, id);
  meta::Metadata metadata = meta::Metadata::of_guest(store, id);
  const meta::GuestState state = meta::derive_state(store, id, metadata);
  if (metadata.is_template()) {
    meta::require_whole_snapshot(state, id, "export", meta::Force::no);
  }
  if (state.state != meta::State::template_) {
    throw base::Refused("cannot export " + base::quoted(id) + ": its state is " +
                        meta::state_name(state.state) + ", not Template; promote it first");
  }
  return metadata;
}

Role role_of(const meta::vmstate::VmState& state, const std::string& path) {
  const bool is_pmem = std::ranges::any_of(state.paths, [&](const auto& embedded) {
    return embedded.text == path && embedded.role == meta::vmstate::Role::pmem;
  });
  return is_pmem ? Role::pmem : Role::drive;
}

std::string releases_text(const std::string& snapshot_version) {
  std::string text;
  for (const meta::vmstate::ReleaseNumber& release :
       meta::vmstate::releases_that_load(snapshot_version)) {
    text += (text.empty() ? "" : ",") + release.text();
  }
  return text;
}

std::string disks_text(const std::vector<TemplateFile>& files) {
  base::JsonList list;
  for (const TemplateFile& file : files) {
    if (is_disk(file.role)) {
      list.add(base::JsonLine()
                   .text("role", role_name(file.role))
                   .text("name", file.name)
                   .number("bytes", static_cast<int64_t>(file.bytes))
                   .str());
    }
  }
  return list.str();
}

// An empty value is left out.
void annotate(Annotations& annotations, const std::string& key, std::string value) {
  if (!value.empty()) {
    annotations.emplace_back(kPrefix + key, std::move(value));
  }
}

Annotations make_annotations(const Description& description, const meta::vmstate::VmState& state,
                             uint64_t page_size) {
  Annotations annotations{{"org.opencontainers.image.title", description.metadata.text("Name")}};
  annotate(annotations, "snapshot.version", state.snapshot_version);
  annotate(annotations, "snapshot.arch", meta::vmstate::arch_name(state.arch));
  annotate(annotations, "firecracker.releases", releases_text(state.snapshot_version));
  annotate(annotations, "firecracker.version", meta::snapshot_vmm(description.metadata));
  annotate(annotations, "memory.bytes", std::to_string(description.files[kMemoryFile].bytes));
  annotate(annotations, "memory.page-size", std::to_string(page_size));
  annotate(annotations, "memory.digest", description.memory_digest);
  if (const std::optional<meta::Host> host = meta::recorded_host(description.metadata)) {
    annotate(annotations, "host.cpu-vendor", host->cpu_vendor);
    annotate(annotations, "host.cpu-family", host->cpu_family);
    annotate(annotations, "host.cpu-model", host->cpu_model);
    annotate(annotations, "host.cpu-stepping", host->cpu_stepping);
    annotate(annotations, "host.microcode", host->microcode);
    annotate(annotations, "host.kernel", host->kernel);
  }
  annotate(annotations, "disks", disks_text(description.files));
  const bool has_hot_list =
      std::ranges::any_of(description.files, is_hot_list, &TemplateFile::role);
  annotate(annotations, "hot-list", has_hot_list ? "yes" : "no");
  return annotations;
}

}  // namespace

TemplateFiles::TemplateFiles(const store::Store& store, const std::string& id,
                             store::GuestLocks lock)
    : id_(id), lock_(std::move(lock)) {
  const meta::Metadata metadata = metadata_of_template(store, id);
  const std::string record_path = meta::image_record_path(store, id);
  const std::optional<meta::ImageRecord> record = meta::read_image_record(record_path);
  if (!record) {
    throw base::Refused("cannot export " + base::quoted(id) + ": it has no " +
                        base::quoted(record_path) + "; promote it again");
  }
  description_.memory_digest = record->digest;
  description_.metadata = exported_metadata(metadata);
  const meta::vmstate::VmState state = [&] {
    const std::string path = store.state_path(id);
    const std::string bytes = meta::vmstate::read_vmstate_file(path);
    meta::vmstate::VmState parsed = meta::vmstate::parse_vmstate(bytes, path);
    meta::vmstate::read_devices(bytes, parsed);
    return parsed;
  }();
  open(store, id, {.role = Role::state});
  open(store, id, {.role = Role::memory});
  if (store::path_exists(meta::hpl1_path(store, id))) {
    open(store, id, {.role = Role::hpl1});
  }
  if (store::path_exists(meta::hpl2_path(store, id))) {
    open(store, id, {.role = Role::hpl2});
  }
  for (const meta::Disk& disk : meta::disks_of(metadata)) {
    open(store, id,
         {.role = role_of(state, disk.embedded_path),
          .name = disk.file,
          .path = disk.embedded_path});
  }
  annotations_ = make_annotations(description_, state, record->page_size);
}

void TemplateFiles::open(const store::Store& store, const std::string& id, TemplateFile file) {
  const std::string path = store.guest_dir(id) + "/" + file.path_in_guest();
  base::Fd fd = store.open_below(path, O_RDONLY | O_NONBLOCK);
  const struct stat status = base::stat_fd(fd.get(), path);
  if (!S_ISREG(status.st_mode) || status.st_size == 0) {
    throw base::BadData("cannot export " + base::quoted(path) +
                        ": it is empty, or not a regular file");
  }
  file.bytes = static_cast<uint64_t>(status.st_size);
  description_.files.push_back(std::move(file));
  files_.push_back(std::move(fd));
  paths_.push_back(path);
  opened_.push_back(status);
}

void TemplateFiles::require_unchanged() const {
  for (size_t i = 0; i < files_.size(); ++i) {
    const struct stat now = base::stat_fd(files_[i].get(), paths_[i]);
    const struct stat& then = opened_[i];
    if (now.st_size != then.st_size || now.st_mtim.tv_sec != then.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != then.st_mtim.tv_nsec) {
      throw base::Refused("cannot export " + base::quoted(id_) + ": " + base::quoted(paths_[i]) +
                          " was changed while it was read");
    }
  }
}

}  // namespace oci
