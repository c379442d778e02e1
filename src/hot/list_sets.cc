// SPDX-License-Identifier: Apache-2.0
// Numbers the pages of lists, and sorts and groups them.
#include "hot/list_sets.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "hot/list_parts.h"

namespace hot {
namespace {

// A page of one of the lists.
struct Entry {
  uint32_t region = 0;
  uint32_t phase = 0;
  uint64_t offset = 0;
  uint64_t order = 0;  // ascending through all lists
  uint32_t list = 0;
  uint32_t weight = 0;

  bool same_page(const Entry& other) const {
    return region == other.region && offset == other.offset;
  }
};

[[noreturn]] void refuse(const NamedList& a, const NamedList& b, const std::string& why) {
  throw base::Refused("cannot combine hot lists " + base::quoted(a.name) + " and " +
                      base::quoted(b.name) + ": " + why);
}

void check_same_image(const NamedList& a, const NamedList& b) {
  if (a.list.page_size != b.list.page_size) {
    refuse(a, b,
           "they have pages of " + std::to_string(a.list.page_size) + " and of " +
               std::to_string(b.list.page_size) + " bytes");
  }
  if (a.list.regions.empty() || b.list.regions.empty()) {
    return;
  }
  if (a.list.memory_bytes != b.list.memory_bytes || a.list.regions != b.list.regions) {
    refuse(a, b, "they are for images of other lengths or regions");
  }
  if (!a.list.digest.empty() && !b.list.digest.empty() && a.list.digest != b.list.digest) {
    refuse(a, b, "they are for images with other digests");
  }
}

const NamedList* first_with_regions(std::span<const NamedList> lists) {
  const auto found =
      std::ranges::find_if(lists, [](const NamedList& each) { return !each.list.regions.empty(); });
  return found == lists.end() ? nullptr : &*found;
}

void check_images(std::span<const NamedList> lists) {
  for (const NamedList& a : lists) {
    for (const NamedList& b : lists) {
      if (&a < &b) {
        check_same_image(a, b);
      }
    }
  }
  if (const NamedList* model = first_with_regions(lists)) {
    for (const NamedList& each : lists) {
      if (each.list.regions.empty()) {
        check_hot_list(expand(each.list.runs, each.list.page_size), model->list.regions, each.name);
      }
    }
  }
}

void add_entries(const HotList& list, uint32_t number, std::vector<Entry>& entries) {
  for_each_part(list, [&](const HotRun& part, size_t phase, uint32_t weight) {
    for (uint64_t i = 0; i < part.count; ++i) {
      entries.push_back({.region = part.region,
                         .phase = static_cast<uint32_t>(phase),
                         .offset = part.offset + i * list.page_size,
                         .order = entries.size(),
                         .list = number,
                         .weight = weight});
    }
  });
}

std::vector<Entry> entries_by_page(std::span<const NamedList> lists) {
  std::vector<Entry> entries;
  for (uint32_t i = 0; i < lists.size(); ++i) {
    add_entries(lists[i].list, i, entries);
  }
  std::ranges::sort(entries, [](const Entry& a, const Entry& b) {
    return std::tie(a.region, a.offset, a.order) < std::tie(b.region, b.offset, b.order);
  });
  return entries;
}

// Calls use(group) for the entries of each page, in ascending order of the lists.
template <typename Use>
void for_each_page(std::span<const Entry> entries, const Use& use) {
  for (size_t i = 0; i < entries.size();) {
    size_t end = i + 1;
    while (end < entries.size() && entries[end].same_page(entries[i])) {
      ++end;
    }
    use(entries.subspan(i, end - i));
    i = end;
  }
}

// One entry for the page of a group: the earliest phase, the sum of the weights. A list that names
// a page twice counts once.
Entry combined(std::span<const Entry> group, uint32_t& lists) {
  Entry entry = group.front();
  entry.weight = 0;
  lists = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    entry.phase = std::min(entry.phase, group[i].phase);
    if (i == 0 || group[i].list != group[i - 1].list) {
      entry.weight += group[i].weight;
      ++lists;
    }
  }
  return entry;
}

void name_phases(std::span<const NamedList> lists, HotList& merged) {
  size_t most = 0;
  for (const NamedList& each : lists) {
    most = std::max(most, each.list.phases.size());
  }
  merged.phases.resize(most);
  for (size_t i = 0; i < most; ++i) {
    for (const NamedList& each : lists) {
      if (merged.phases[i].name.empty() && i < each.list.phases.size()) {
        merged.phases[i].name = each.list.phases[i].name;
      }
    }
  }
}

// A page of a list without phases is in phase 0.
void add_page(HotList& merged, const Entry& entry) {
  append_page(merged, {.region = entry.region, .offset = entry.offset});
  if (!merged.phases.empty()) {
    ++merged.phases[entry.phase].pages;
  }
  if (merged.weights.empty() || merged.weights.back().weight != entry.weight) {
    merged.weights.push_back({.pages = 0, .weight = entry.weight});
  }
  ++merged.weights.back().pages;
}

}  // namespace

HotList merge_lists(std::span<const NamedList> lists, MergeRule rule, uint64_t least) {
  check_images(lists);
  std::vector<Entry> kept;
  for_each_page(entries_by_page(lists), [&](std::span<const Entry> group) {
    uint32_t in_lists = 0;
    const Entry entry = combined(group, in_lists);
    if (rule == MergeRule::any || (rule == MergeRule::all && in_lists == lists.size()) ||
        (rule == MergeRule::weight && entry.weight >= least)) {
      kept.push_back(entry);
    }
  });
  std::ranges::sort(kept, [](const Entry& a, const Entry& b) {
    return std::tie(a.phase, a.order) < std::tie(b.phase, b.order);
  });
  const NamedList* model = first_with_regions(lists);
  HotList merged{.format = model != nullptr ? ListFormat::hpl2 : ListFormat::hpl1,
                 .page_size = lists.front().list.page_size,
                 .recordings = 0};
  if (model != nullptr) {
    merged.regions = model->list.regions;
    merged.memory_bytes = model->list.memory_bytes;
  }
  for (const NamedList& each : lists) {
    if (each.list.recordings > std::numeric_limits<uint32_t>::max() - merged.recordings) {
      refuse(lists.front(), each, "they are of more than 4294967295 recordings");
    }
    merged.recordings += each.list.recordings;
    merged.exact = merged.exact && each.list.exact;
    if (merged.digest.empty()) {
      merged.digest = each.list.digest;
    }
  }
  name_phases(lists, merged);
  for (const Entry& entry : kept) {
    add_page(merged, entry);
  }
  if (merged.recordings == 1) {
    merged.weights.clear();
  }
  merged.source = "merge of " + std::to_string(lists.size()) + " lists";
  return merged;
}

HotList without_repeats(HotList list) {
  std::vector<NamedList> one(1);
  one[0].list = std::move(list);
  HotList merged = merge_lists(one, MergeRule::any, 1);
  merged.source = one[0].list.source;
  merged.created = one[0].list.created;
  return merged;
}

ListDiff diff_lists(const NamedList& first, const NamedList& second) {
  const std::vector<NamedList> lists{first, second};
  check_images(lists);
  ListDiff diff;
  for_each_page(entries_by_page(lists), [&](std::span<const Entry> group) {
    const bool in_first = group.front().list == 0;
    const bool in_second = group.back().list == 1;
    ++(in_first && in_second ? diff.both : in_first ? diff.only_first : diff.only_second);
  });
  return diff;
}

ListStat stat_list(const HotList& list) {
  std::vector<HotRun> runs = list.runs;
  std::ranges::sort(runs, [](const HotRun& a, const HotRun& b) {
    return std::tie(a.region, a.offset) < std::tie(b.region, b.offset);
  });
  ListStat stat;
  std::set<uint32_t> regions;
  uint32_t region = 0;
  uint64_t end = 0;  // of the pages so far in `region`
  for (const HotRun& run : runs) {
    const bool first = regions.insert(run.region).second;
    const bool joins = !first && run.region == region && run.offset <= end;
    const uint64_t run_end = run.offset + run.count * list.page_size;
    stat.runs += joins ? 0 : 1;
    const uint64_t from = joins ? std::min(run_end, end) : run.offset;
    stat.distinct += (run_end - from) / list.page_size;
    end = joins ? std::max(end, run_end) : run_end;
    region = run.region;
    stat.entries += run.count;
  }
  stat.regions = regions.size();
  stat.bytes = stat.distinct * list.page_size;
  constexpr uint64_t kBytesPerUs = 3000;
  stat.install_us = stat.runs * 12 / 10 + stat.bytes / kBytesPerUs;
  return stat;
}

}  // namespace hot
