// SPDX-License-Identifier: Apache-2.0
// Formats reports as JSON records and as lines for a person.
#include "clone/report.h"

#include <array>
#include <cstdio>
#include <cstring>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"

namespace cloning {
namespace {

const char* method_name(Method method) {
  switch (method) {
    case Method::none:
      return "none";
    case Method::reflink:
      return "reflink";
    case Method::copy:
      return "copy";
    case Method::link:
      return "link";
    case Method::hardlink:
      return "hardlink";
  }
  return "unknown";
}

// std::to_chars needs libm, which takes a tenth of the start time to load.
std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return {text.data(), static_cast<size_t>(length)};
}

std::string seconds_text(std::chrono::nanoseconds elapsed) {
  return fixed(std::chrono::duration<double>(elapsed).count(), 6);
}

std::string human_time(std::chrono::nanoseconds elapsed) {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  return seconds < 1 ? fixed(seconds * 1000, 1) + " ms" : fixed(seconds, 1) + " s";
}

struct Sums {
  int64_t shared = 0;
  int64_t copied = 0;
  int64_t linked = 0;
  int64_t hole = 0;
  int64_t dug = 0;
  Phases phases = {};
  bool reflinked_any = false;
  bool copied_any = false;
  int refused = 0;
  std::string refused_why = {};
};

void add_file(Sums& sums, const FileReport& file) {
  sums.shared += file.shared;
  sums.copied += file.copied;
  sums.linked += file.linked;
  sums.hole += file.hole;
  sums.dug += file.dug;
  sums.phases += file.phases;
  sums.reflinked_any |= file.method == Method::reflink;
  sums.copied_any |= file.method == Method::copy;
  if (sums.refused == 0) {
    sums.refused = file.refused;
    sums.refused_why = file.refused_why;
  }
}

Sums sums_of(const FileReport& file) {
  Sums sums;
  add_file(sums, file);
  return sums;
}

Sums sums_of(const CloneReport& report) {
  Sums sums{.phases = report.phases};
  for (const FileReport& file : report.files) {
    add_file(sums, file);
  }
  return sums;
}

// Returns "1.0 GiB shared, 9.0 GiB hole", without the parts that are zero.
std::string parts(const Sums& sums) {
  std::string text;
  const auto add = [&](int64_t bytes, const char* what) {
    if (bytes != 0) {
      text += (text.empty() ? "" : ", ") + human_bytes(bytes) + " " + what;
    }
  };
  add(sums.shared, "shared");
  add(sums.copied, "copied");
  add(sums.linked, "linked");
  add(sums.hole - sums.dug, "hole");
  add(sums.dug, "dug");
  return text.empty() ? "no data" : text;
}

// Returns ", 12 extents", and the number before the source was rewritten.
std::string extents_text(const FileReport& file) {
  if (!file.extents) {
    return "";
  }
  std::string text =
      ", " + std::to_string(*file.extents) + (*file.extents == 1 ? " extent" : " extents");
  if (file.defragged) {
    text += " (source rewritten: it had " + std::to_string(*file.defragged) + ")";
  }
  return text;
}

// Returns the time to write out dirty data of the source, if it is large enough to mention.
std::string flush_text(const Phases& phases) {
  constexpr std::chrono::milliseconds kWorthAWord{10};
  return phases.flush < kWorthAWord
             ? ""
             : " (" + human_time(phases.flush) + " to write out dirty data of the source)";
}

std::string errno_text(int error_number) {
  const char* name = ::strerrorname_np(error_number);
  return name != nullptr ? name : std::to_string(error_number);
}

std::string phases_object(const Phases& phases) {
  return base::JsonLine()
      .raw("flush", seconds_text(phases.flush))
      .raw("reflink", seconds_text(phases.reflink))
      .raw("copy", seconds_text(phases.copy))
      .raw("dig", seconds_text(phases.dig))
      .raw("verify", seconds_text(phases.verify))
      .raw("publish", seconds_text(phases.publish))
      .str();
}

void add(base::JsonLine& line, std::string_view key, const std::optional<int64_t>& value) {
  if (value) {
    line.number(key, *value);
  } else {
    line.null(key);
  }
}

// Adds "refused":"EOPNOTSUPP","refused_why":"ext4 cannot share blocks", or null for both.
base::JsonLine& add_refusal(base::JsonLine& line, int error_number, const std::string& why) {
  if (error_number == 0) {
    return line.null("refused").null("refused_why");
  }
  return line.text("refused", errno_text(error_number)).text("refused_why", why);
}

base::JsonLine& with_file(base::JsonLine&& line, const FileReport& file) {
  line.path("path", file.path).text("method", method_name(file.method));
  add_refusal(line, file.refused, file.refused_why);
  line.number("size_bytes", file.size)
      .number("bytes_shared", file.shared)
      .number("bytes_copied", file.copied)
      .number("bytes_linked", file.linked)
      .number("bytes_hole", file.hole)
      .number("bytes_dug", file.dug);
  add(line, "extents", file.extents);
  add(line, "extents_after", file.extents_after);
  add(line, "defragged", file.defragged);
  return line.boolean("has_writer", file.has_writer)
      .raw("seconds", seconds_text(file.elapsed))
      .raw("phases", phases_object(file.phases));
}

}  // namespace

Phases& Phases::operator+=(const Phases& other) {
  flush += other.flush;
  reflink += other.reflink;
  copy += other.copy;
  dig += other.dig;
  verify += other.verify;
  publish += other.publish;
  return *this;
}

std::string human_bytes(int64_t bytes) {
  if (bytes < 1024) {
    return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  }
  auto value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB", "PiB"}) {
    if (value < 1023.95) {  // a value that would print as 1024.0 uses the next unit
      break;
    }
    value /= 1024;
    unit = next;
  }
  return fixed(value, value < 9.95 ? 1 : 0) + " " + unit;
}

std::string file_record(const FileReport& file) {
  return with_file(base::JsonLine("file"), file).str();
}

std::string in_place_record(const InPlaceReport& report) {
  return with_file(base::JsonLine("in_place"), report.file)
      .number("links", report.links)
      .boolean("new_inode", report.new_inode)
      .boolean("dry_run", base::is_dry_run(report.effect))
      .str();
}

std::string total_record(const CloneReport& report) {
  const Sums sums = sums_of(report);
  const char* method = sums.reflinked_any && sums.copied_any ? "mixed"
                       : sums.reflinked_any                  ? "reflink"
                       : sums.copied_any                     ? "copy"
                                                             : "none";
  base::JsonLine line("total");
  line.path("src", report.src).path("dst", report.dst).text("method", method);
  return add_refusal(line, sums.refused, sums.refused_why)
      .number("files", static_cast<int64_t>(report.files.size()))
      .number("directories", report.directories)
      .number("symlinks", report.symlinks)
      .number("skipped", report.skipped)
      .number("bytes_shared", sums.shared)
      .number("bytes_copied", sums.copied)
      .number("bytes_linked", sums.linked)
      .number("bytes_hole", sums.hole)
      .number("bytes_dug", sums.dug)
      .raw("seconds", seconds_text(report.elapsed))
      .raw("phases", phases_object(sums.phases))
      .boolean("dry_run", base::is_dry_run(report.effect))
      .str();
}

void CopyNotice::add(const CloneReport& report) {
  for (const FileReport& file : report.files) {
    add(file);
  }
}

void CopyNotice::add(const FileReport& file) {
  if (file.refused != 0) {
    why_ = why_.empty() ? file.refused_why : why_;
    copied_ += file.copied;
  }
}

std::optional<std::string> CopyNotice::text(base::Effect effect) const {
  constexpr int64_t kWorthAWarning = 1 << 20;
  if (copied_ < kWorthAWarning) {
    return std::nullopt;
  }
  return why_ + ": " + human_bytes(copied_) +
         (base::is_dry_run(effect) ? " would be copied" : " are copied") +
         "; 'reflink-clone --reflink=always' refuses to copy";
}

std::string file_lines(const CloneReport& report, int64_t smallest) {
  std::string text;
  for (const FileReport& file : report.files) {
    if (file.size < smallest || file.path == report.dst) {
      continue;  // a single file is its own total
    }
    text += base::quoted(file.path) + ": " + method_name(file.method) + ", " + parts(sums_of(file));
    text += extents_text(file) + "\n";
  }
  return text;
}

std::string total_line(const CloneReport& report) {
  const Sums sums = sums_of(report);
  std::string text = base::quoted(report.dst) + ": ";
  if (base::is_dry_run(report.effect)) {
    text += "would be created: ";
  }
  text += std::to_string(report.files.size()) +
          (report.files.size() == 1 ? " file, " : " files, ") + parts(sums);
  if (sums.refused != 0) {
    text += " (" + sums.refused_why + ")";
  }
  if (report.skipped != 0) {
    text += ", " + std::to_string(report.skipped) + " skipped";
  }
  if (report.files.size() == 1) {
    text += extents_text(report.files.front());
  }
  return text + ", " + human_time(report.elapsed) + flush_text(sums.phases) + "\n";
}

std::string in_place_line(const InPlaceReport& report) {
  const FileReport& file = report.file;
  std::string text = base::quoted(file.path) + ": ";
  const bool planned = base::is_dry_run(report.effect);
  if (!report.new_inode) {
    text += std::string(planned ? "would keep" : "keeps") +
            " its inode, which has no other link, " + human_bytes(file.dug) + " dug";
  } else {
    text += report.links > 1 ? "had " + std::to_string(report.links) + " links, " : "";
    text += std::string(planned ? "would get" : "got") + " a new inode by " +
            method_name(file.method) + ", " + parts(sums_of(file));
  }
  return text + extents_text(file) + ", " + human_time(file.elapsed) + flush_text(file.phases) +
         "\n";
}

}  // namespace cloning
