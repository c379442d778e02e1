// SPDX-License-Identifier: Apache-2.0
// Checks a list, keeps the old one, and writes both formats.
#include "meta/flows/install_list.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "hot/hot_list.h"
#include "hot/list_sets.h"
#include "hot/readahead.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/image/image_record.h"
#include "meta/image/template_lists.h"
#include "store/files.h"

namespace meta {
namespace {

constexpr mode_t kMode = 0644;

hot::ImageFacts facts_of(const store::Store& store, const std::string& id) {
  const std::optional<ImageRecord> record = read_image_record(image_record_path(store, id));
  hot::ImageFacts image{.memory_bytes =
                            static_cast<uint64_t>(base::stat_path(store.memory_path(id)).st_size)};
  if (record && record->memory_bytes == image.memory_bytes) {
    image.digest = record->digest;
    image.page_size = record->page_size;
  }
  return image;
}

// The HPL2 form of the list; nothing if the regions of an HPL1 list are not known.
std::optional<hot::HotList> with_identity(hot::HotList list, const hot::ImageFacts& image) {
  if (list.format == hot::ListFormat::hpl1) {
    if (image.page_size != 0) {
      list.page_size = image.page_size;
    }
    list.memory_bytes = image.memory_bytes;
    list.regions = hot::usual_regions(image.memory_bytes, list.page_size);
    try {
      hot::check_hot_list(list, list.regions, "");
    } catch (const base::Refused&) {
      return std::nullopt;
    }
    list = hot::without_repeats(std::move(list));
  }
  list.digest = image.digest;
  return list;
}

// Keeps the file at `path` as `path`.1.
void keep_old(const std::string& path) {
  const std::optional<base::Fd> old = base::try_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (old) {
    base::write_file_atomic(path + ".1",
                            base::read_regular(old->get(), hot::kMaxHotListBytes, path), kMode,
                            base::Durable::yes);
  }
}

}  // namespace

InstalledList install_list(const store::Store& store, const std::string& id,
                           const std::string& bytes, const std::string& name, bool force,
                           base::Effect effect) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  if (effect == base::Effect::real) {
    lock.emplace(store, id);
  }
  const std::string start =
      "cannot install hot list " + base::quoted(name) + " in " + base::quoted(id) + ": ";
  if (!Metadata::of_guest(store, id).is_template()) {
    throw base::Refused(start + "it is not a template; run 'snapfork promote " + id + "' first");
  }
  const hot::ImageFacts image = facts_of(store, id);
  const hot::HotList list = hot::parse_hot_list(bytes, name, image.memory_bytes / hot::kSmallPage);
  if (const std::string why = hot::identity_problem(list, image); !why.empty()) {
    throw base::Refused(start + why);
  }
  if (!list.exact && !force) {
    throw base::Refused(start +
                        "it is not exact, it may have pages that were never touched; use --force");
  }
  const std::optional<hot::HotList> identified = with_identity(list, image);
  const InstalledList installed{.pages = hot::count_pages(list.runs),
                                .has_hpl2 = identified.has_value()};
  if (base::is_dry_run(effect)) {
    return installed;
  }
  const std::string hpl1 = hpl1_path(store, id);
  const std::string hpl2 = hpl2_path(store, id);
  keep_old(hpl1);
  keep_old(hpl2);
  base::write_file_atomic(hpl1, hot::encode_hot_list(list, hot::ListFormat::hpl1), kMode,
                          base::Durable::yes);
  if (identified) {
    base::write_file_atomic(hpl2, hot::encode_hot_list(*identified, hot::ListFormat::hpl2), kMode,
                            base::Durable::yes);
  } else {
    base::say_warning("the regions of " + base::quoted(name) +
                      " are not known, so only its HPL1 form is installed");
    // It is kept as hot.hpl2.1, and must not be used instead of the new one.
    if (::unlink(hpl2.c_str()) != 0 && errno != ENOENT) {
      base::throw_errno("cannot remove " + base::quoted(hpl2));
    }
  }
  return installed;
}

}  // namespace meta
