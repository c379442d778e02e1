// SPDX-License-Identifier: Apache-2.0
// How the verbs of hotpage-record read and write lists.
#pragma once

#include <optional>
#include <string>

#include "base/effect.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/options.h"
#include "hot/hot_list.h"
#include "hot/hotpage_commands.h"
#include "hot/list_sets.h"
#include "hot/packed.h"

namespace hot {

// The options --regions and --page-size of a memory file.
void add_layout_options(base::Options& options);
HotListLayout layout_of(const base::ParsedOptions& parsed);
// The value of --mem. Throws base::UsageError if it is absent.
std::string required_memory(const base::ParsedOptions& parsed);

// An open packed list.
struct PackedInput {
  base::Fd fd;
  PackedMap map;
};
// Nothing if the path is not that of a regular file that starts with kPackedMagic. Throws
// std::system_error, base::BadData.
std::optional<PackedInput> open_packed(const std::string& path);
// Throws base::BadData if the pages of one piece were changed or cannot be read.
void check_pieces(const PackedInput& packed, const std::string& path);

// Reads a list of any format, that of a packed list, or standard input for "-". An HPL1 list gets
// the layout of the options. Throws std::system_error, base::BadData, also for more than
// kMaxListedPages.
HotList load_list(const std::string& path, const HotListLayout& layout = {});
NamedList load_named(const std::string& path, const HotListLayout& layout = {});

// Checks the list, read from `path`, against the memory file (check_list_for_file), where the
// default of an HPL1 list is usual_regions. Returns the layout for its pages.
HotListLayout layout_for_file(const HotList& list, const std::string& path, HotListLayout layout,
                              const std::string& memory);

// The options -o, --format and --dry-run of verbs that write a list.
void add_output_options(base::Options& options);
struct ListOutput {
  std::optional<std::string> path;  // not set: standard output
  ListFormat format = ListFormat::hpl1;
  base::Effect effect = base::Effect::real;
};
// Throws base::UsageError if the list would be written to a terminal or between JSON records. The
// default format is HPL2 for a name that ends in ".hpl2", else `fallback`.
ListOutput output_of(const base::ParsedOptions& parsed, ListFormat fallback = ListFormat::hpl1);
// Writes the list; a file is replaced atomically and durably. Prints the record `hot_list`.
void write_list(const HotList& list, const ListOutput& output);

// "hpl1", "hpl2".
const char* name_of(ListFormat format);
base::JsonLine& add_count(base::JsonLine& json, std::string_view key, uint64_t value);

}  // namespace hot
