// SPDX-License-Identifier: Apache-2.0
// Parses and composes handshakes; every byte of a peer's handshake is hostile.
#include "pager/protocol/handshake.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/json_line.h"
#include "base/json_object.h"
#include "base/unix_socket.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

using base::JsonObject;

[[noreturn]] void refuse(const std::string& why) {
  throw base::BadData("cannot use the handshake: " + why);
}

// Returns a number of region `index`, or nothing if the field is missing. Negative numbers,
// fractions, strings and numbers over 64 bits are rejected.
std::optional<uint64_t> number_field(const JsonObject& region, size_t index, const char* name) {
  const std::string* raw = region.find(name);
  if (raw == nullptr) {
    return std::nullopt;
  }
  const std::optional<uint64_t> value = base::json_unsigned(*raw);
  if (!value) {
    refuse("'" + std::string(name) + "' of region " + std::to_string(index) +
           " is not a number of bytes");
  }
  return value;
}

uint64_t required_field(const JsonObject& region, size_t index, const char* name) {
  const std::optional<uint64_t> value = number_field(region, index, name);
  if (!value) {
    refuse("region " + std::to_string(index) + " has no '" + name + "'");
  }
  return *value;
}

hot::Region parse_region(std::string_view raw, size_t index) {
  const std::optional<JsonObject> json = JsonObject::read(raw);
  if (!json) {
    refuse("region " + std::to_string(index) + " is not an object");
  }
  hot::Region region;
  region.base = required_field(*json, index, "base_host_virt_addr");
  region.size = required_field(*json, index, "size");
  region.offset = required_field(*json, index, "offset");
  uint64_t page_size = number_field(*json, index, "page_size").value_or(0);
  if (page_size == 0) {
    page_size = number_field(*json, index, "page_size_kib").value_or(0);
  }
  region.page_size = page_size == 0 ? hot::kSmallPage : page_size;
  return region;
}

const std::string& mappings_of(const JsonObject& body) {
  const std::string* mappings = body.find("mappings");
  if (mappings == nullptr) {
    refuse("the body is an object that has no 'mappings'");
  }
  return *mappings;
}

std::vector<hot::Region> parse_body(std::string_view body) {
  std::optional<JsonObject> object;  // `list` may be a part of it
  std::optional<std::vector<std::string_view>> list = base::json_elements(body);
  if (!list) {
    object = JsonObject::read(body);
    list = object ? base::json_elements(mappings_of(*object)) : std::nullopt;
  }
  if (!list) {
    refuse("the body is not an array of regions");
  }
  if (list->size() > hot::kMaxRegions) {
    refuse(std::to_string(list->size()) + " regions, more than " +
           std::to_string(hot::kMaxRegions));
  }
  std::vector<hot::Region> regions;
  regions.reserve(list->size());
  for (const std::string_view raw : *list) {
    regions.push_back(parse_region(raw, regions.size()));
  }
  return regions;
}

}  // namespace

std::vector<hot::Region> parse_handshake(std::string_view body) {
  try {
    return parse_body(body);
  } catch (const base::JsonError& error) {
    refuse(std::string("the body is not JSON: ") + error.what());
  }
}

std::string compose_handshake(std::span<const hot::Region> regions) {
  base::JsonList body;
  for (const hot::Region& region : regions) {
    body.add(base::JsonLine()
                 .number("base_host_virt_addr", static_cast<int64_t>(region.base))
                 .number("size", static_cast<int64_t>(region.size))
                 .number("offset", static_cast<int64_t>(region.offset))
                 .number("page_size", static_cast<int64_t>(region.page_size))
                 .number("page_size_kib", static_cast<int64_t>(region.page_size))
                 .str());
  }
  return body.str();
}

void JsonCollector::add(std::string_view piece) {
  for (const char c : piece) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!in_string_ && blank) {
      if (text_.empty() || text_.back() != ' ') {
        text_ += ' ';
      }
      continue;
    }
    text_ += c;
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '[' || c == '{') {
      ++depth_;
    } else if (c == ']' || c == '}') {
      depth_ -= depth_ > 0 ? 1 : 0;
    }
    whole_ = whole_ || depth_ == 0;
  }
}

void HandshakeReader::leave_in_queue(int socket) {
  const int start = 0;  // each read with MSG_PEEK starts where the one before it has ended
  if (::setsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof start) != 0) {
    base::throw_errno("cannot read a handshake");
  }
  left_in_queue_ = true;
}

void HandshakeReader::take_out_of_queue(int socket) {
  if (!std::exchange(left_in_queue_, false)) {
    return;
  }
  std::array<std::byte, size_t{16} << 10U> buffer{};
  const int off = -1;
  ::setsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off);
  for (size_t left = received_; left > 0;) {
    std::vector<base::Fd> copies;  // of those that were read
    const base::Received taken =
        base::recv_with_fds(socket, std::span(buffer).first(std::min(left, buffer.size())), copies);
    if (taken.bytes == 0) {
      return;
    }
    left -= taken.bytes;
  }
}

std::optional<HandshakeReader::Result> HandshakeReader::read_from(int socket) {
  // More than the kernel's largest part of a message (36 KiB): MSG_PEEK returns the descriptors of
  // a part again with each read of it.
  std::array<std::byte, kMostLeft> buffer{};
  constexpr int kReads = 64;  // then other peers have their turn
  for (int i = 0; i < kReads; ++i) {
    const base::Received received =
        base::recv_with_fds(socket, buffer, fds_, left_in_queue_ ? MSG_PEEK : 0);
    if (received.fds_truncated || fds_.size() > 1) {
      refuse("the peer sent more than one descriptor");
    }
    if (received.would_block) {
      break;
    }
    if (received.bytes == 0) {
      if (body_.is_whole() && !fds_.empty()) {
        break;  // Firecracker before 1.12 closes as soon as it has sent
      }
      refuse("the peer closed after " + std::to_string(received_) + " bytes and " +
             (fds_.empty() ? "no descriptor" : "its descriptor"));
    }
    received_ += received.bytes;
    if (left_in_queue_ && received_ > kMostLeft) {
      take_out_of_queue(socket);
    }
    body_.add({reinterpret_cast<const char*>(buffer.data()), received.bytes});
    if (received_ > kMaxHandshakeBytes || body_.text().size() > kMaxHandshakeText) {
      refuse(
          "longer than " +
          std::to_string(received_ > kMaxHandshakeBytes ? kMaxHandshakeBytes : kMaxHandshakeText) +
          " bytes" + (received_ > kMaxHandshakeBytes ? "" : " of text"));
    }
  }
  if (fds_.size() == 1 && !is_userfaultfd(fds_[0].get())) {
    refuse("the descriptor that the peer sent is not a userfaultfd");
  }
  if (!body_.is_whole() || fds_.empty()) {
    return std::nullopt;
  }
  Result result{.regions = parse_handshake(body_.text()), .uffd = {}};
  result.uffd = std::move(fds_[0]);
  fds_.clear();
  return result;
}

}  // namespace pager
