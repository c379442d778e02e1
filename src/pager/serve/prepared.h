// SPDX-License-Identifier: Apache-2.0
// What a server that waits opens and maps in advance, so that it can serve at once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "pager/faults/hot_file.h"
#include "pager/faults/session_state.h"
#include "pager/image/image.h"
#include "pager/keep/keeper_link.h"
#include "pager/serve/kept_text.h"
#include "pager/serve/shared_state.h"

namespace pager {

// One endpoint or session of an earlier server.
struct PreparedThing {
  KeptText text;
  std::shared_ptr<const Image> image;
  std::unique_ptr<StateMapping> state;  // of a session
  SharedMemory endpoint;                // of an endpoint
  std::shared_ptr<const HotFile> hot;   // of an endpoint; may be null
};

// Belongs to one thread.
class Prepared {
 public:
  // Checks the service; does nothing for connections. A failure is reported by take() and
  // report_problems().
  void prepare(uint64_t key, const HeldThing& thing);
  void forget(uint64_t key);
  // Reports each thing that could not be prepared, and returns their number.
  uint64_t report_problems() const;
  // What was prepared for the key, or is prepared now. Throws base::BadData or std::system_error.
  PreparedThing take(uint64_t key, const HeldThing& thing);

 private:
  PreparedThing make(const HeldThing& thing);
  std::shared_ptr<const Image> image_of(const KeptText& text, int fd);

  std::map<uint64_t, PreparedThing> things_;
  std::map<std::string, std::weak_ptr<const Image>> images_;  // by the identity, as text
  HotListCache hot_files_;
  std::map<uint64_t, std::string> problems_;
};

}  // namespace pager
