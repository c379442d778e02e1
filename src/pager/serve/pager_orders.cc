// SPDX-License-Identifier: Apache-2.0
// Pager: the orders to sessions of connected VMMs.
#include <utility>

#include "pager/serve/pager.h"

namespace pager {

Pager::Ordered Pager::find_connected(std::string_view id, Session*& session) const {
  const auto entry = ids_.find(id);
  if (entry == ids_.end()) {
    return Ordered::unknown;
  }
  const auto connected = connected_.find(entry->second);
  if (connected == connected_.end()) {
    return Ordered::not_connected;
  }
  session = connected->second.session.get();
  return Ordered::yes;
}

Pager::CompletionOrder Pager::complete(std::string_view id, uint64_t bytes_per_second, bool wait) {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  CompletionOrder order{.ordered = find_connected(id, session)};
  if (session != nullptr) {
    order.completion = session->complete(bytes_per_second, wait);
    order.ordered = order.completion ? Ordered::yes : Ordered::already_running;
  }
  return order;
}

Pager::Ordered Pager::prefetch(std::string_view id, std::shared_ptr<const HotFile> list) {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  Ordered ordered = find_connected(id, session);
  if (session != nullptr && !session->prefetch(std::move(list))) {
    ordered = Ordered::already_running;
  }
  return ordered;
}

Pager::Ordered Pager::pause_prefetch(std::string_view id) {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  const Ordered ordered = find_connected(id, session);
  if (session != nullptr) {
    session->pause();
  }
  return ordered;
}

Pager::Ordered Pager::mark(std::string_view id, std::string name) {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  const Ordered ordered = find_connected(id, session);
  return session != nullptr && !session->mark(std::move(name)) ? Ordered::already_running : ordered;
}

Pager::Ordered Pager::trace(std::string_view id, std::string path) {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  const Ordered ordered = find_connected(id, session);
  return session != nullptr && !session->trace(std::move(path)) ? Ordered::already_running
                                                                : ordered;
}

std::shared_ptr<const Image> Pager::image_of(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  static_cast<void>(find_connected(id, session));
  return session != nullptr ? session->shared_image() : nullptr;
}

}  // namespace pager
