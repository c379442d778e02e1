// SPDX-License-Identifier: Apache-2.0
// Maps states and adopts images of earlier servers.
#include "pager/serve/prepared.h"

#include <fcntl.h>

#include <exception>
#include <utility>

#include "base/error.h"
#include "base/message.h"

namespace pager {
namespace {

base::Fd copy_of(const HeldThing& thing, size_t at) {
  if (at >= thing.fds.size()) {
    throw base::BadData("cannot use what the keeper holds: a descriptor is missing");
  }
  base::Fd copy(::fcntl(thing.fds[at].get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    base::throw_errno("cannot duplicate a descriptor");
  }
  return copy;
}

std::string key_of(const ImageIdentity& identity, Image::View view) {
  std::string key = std::to_string(static_cast<int>(view));
  for (const uint64_t part :
       {identity.device, identity.inode, identity.size, static_cast<uint64_t>(identity.modified_ns),
        static_cast<uint64_t>(identity.changed_ns)}) {
    key += ' ' + std::to_string(part);
  }
  return key;
}

}  // namespace

void Prepared::prepare(uint64_t key, const HeldThing& thing) {
  forget(key);
  try {
    if (thing.kind == Kept::service) {
      static_cast<void>(adopt_service_state(copy_of(thing, kept::kServiceState)));
    } else if (thing.kind == Kept::session || thing.kind == Kept::endpoint) {
      things_[key] = make(thing);
    }
  } catch (const std::exception& error) {
    things_.erase(key);  // take() tries again, and reports it
    problems_[key] = error.what();
  }
}

void Prepared::forget(uint64_t key) {
  things_.erase(key);
  problems_.erase(key);
}

uint64_t Prepared::report_problems() const {
  for (const auto& [key, problem] : problems_) {
    base::say_warning(problem);
  }
  return problems_.size();
}

PreparedThing Prepared::take(uint64_t key, const HeldThing& thing) {
  auto found = things_.extract(key);
  return found ? std::move(found.mapped()) : make(thing);
}

PreparedThing Prepared::make(const HeldThing& thing) {
  PreparedThing made;
  if (thing.kind == Kept::session) {
    made.state = std::make_unique<StateMapping>(copy_of(thing, kept::kState));
    made.text = parse_kept_text(made.state->text());
    made.image = image_of(made.text, copy_of(thing, kept::kImage).get());
    if (made.state->state().image != made.image->identity()) {
      throw base::BadData("cannot use the state of a session: it is of another image");
    }
    made.state->pin();
    return made;
  }
  made.endpoint = SharedMemory(copy_of(thing, kept::kEndpointState), sizeof(EndpointState));
  made.text = parse_kept_text(endpoint_text(made.endpoint));
  made.image = image_of(made.text, copy_of(thing, kept::kEndpointImage).get());
  if (!made.text.hot_path.empty()) {
    try {
      made.hot = hot_files_.open(made.text.hot_path, *made.image);
    } catch (const std::exception& error) {
      base::say_warning(std::string(error.what()) + "; session " +
                        base::quoted(made.text.endpoint.id) + " has no hot list now");
      made.text.endpoint.hot_refused = true;
    }
  }
  return made;
}

std::shared_ptr<const Image> Prepared::image_of(const KeptText& text, int fd) {
  std::erase_if(images_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<const Image>& known = images_[key_of(text.identity, text.view)];
  std::shared_ptr<const Image> image = known.lock();
  if (!image) {
    base::Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy) {
      base::throw_errno("cannot duplicate a descriptor");
    }
    image = Image::adopt(text.image_path, std::move(copy), text.identity, text.view);
    known = image;
  }
  return image;
}

}  // namespace pager
