#include "clone/clone.h"

#include <fcntl.h>

#include <chrono>

#include "base/error.h"
#include "base/message.h"
#include "clone/attributes.h"
#include "clone/directory.h"
#include "clone/staging.h"
#include "clone/tree.h"

namespace cloning {
namespace {

using Clock = std::chrono::steady_clock;

void warn_of_losses(const AttributeCopier& attributes) {
  if (attributes.lost() > 0) {
    base::say_warning(
        "the destination does not take all attributes: " + std::to_string(attributes.lost()) +
        " not kept, the first is " + attributes.first_lost());
  }
}

void clone_file(const SourceFile& src, const Place& place, const Request& request,
                ContentCloner& contents, CloneReport& report) {
  const Clock::time_point begun = Clock::now();
  if (request.dry_run) {
    report.files.push_back(contents.plan(src, place.parent(), place.path(), request.reflink));
  } else {
    AttributeCopier attributes;
    StagedFile staged(place);
    report.files.push_back(contents.clone(src, staged.fd(), place.path(), request.reflink));
    attributes.apply(src.fd.get(), src.st, staged.fd(), place.path());
    staged.publish(request.durable);
    warn_of_losses(attributes);
  }
  report.files.back().elapsed = Clock::now() - begun;
}

void clone_directory(const SourceFile& src, const Place& place, const Request& request,
                     ContentCloner& contents, CloneReport& report) {
  if (place.is_inside(src.fd.get())) {
    throw base::UsageError("cannot clone " + base::quoted(src.path) + " into itself, to " +
                           base::quoted(place.path()));
  }
  AttributeCopier attributes;
  TreeCloner tree(request, contents, attributes, report);
  // Opened anew: reading a directory uses up a descriptor's position.
  const base::Fd dir = base::open_at(src.fd.get(), ".", O_RDONLY | O_DIRECTORY);
  if (request.dry_run) {
    tree.clone(dir.get(), place.parent());
    return;
  }
  StagedDirectory staged(place);
  tree.clone(dir.get(), staged.fd());
  staged.publish(request.durable);
  warn_of_losses(attributes);
}

}  // namespace

SourceFile open_operand(const std::string& path) {
  SourceFile src{.fd = {}, .path = path};
  const auto require_type = [&](int result) {
    if (result != 0) {
      base::throw_errno("cannot look up " + base::quoted(path));
    }
    if (!S_ISREG(src.st.st_mode) && !S_ISDIR(src.st.st_mode)) {
      throw base::BadData("cannot clone " + base::quoted(path) +
                          ": it is neither a regular file nor a directory");
    }
  };
  // Before it is opened, which would start a device; and after, because only then is it certain.
  require_type(::stat(path.c_str(), &src.st));
  src.fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  require_type(::fstat(src.fd.get(), &src.st));
  return src;
}

CloneReport clone_to(const SourceFile& src, const std::string& dst, const Request& request,
                     Progress& progress) {
  const Clock::time_point begun = Clock::now();
  const Place place(dst);
  place.require_free();
  CloneReport report{.src = src.path, .dst = place.path(), .files = {}, .dry_run = request.dry_run};
  ContentCloner contents(request, progress);
  if (S_ISDIR(src.st.st_mode)) {
    clone_directory(src, place, request, contents, report);
  } else {
    clone_file(src, place, request, contents, report);
  }
  report.elapsed = Clock::now() - begun;
  return report;
}

}  // namespace cloning
