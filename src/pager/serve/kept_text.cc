// SPDX-License-Identifier: Apache-2.0
// Composes and parses the text of an endpoint: fields in a fixed order, each ended by a zero byte,
// which no name or path contains.
#include "pager/serve/kept_text.h"

#include <charconv>
#include <concepts>
#include <optional>

#include "base/error.h"

namespace pager {
namespace {

class Writer {
 public:
  void put(std::string_view field) { (text_ += field) += '\0'; }
  template <std::integral Number>
  void put(Number number) {
    put(std::to_string(number));
  }
  template <typename Number>
  void put(const std::optional<Number>& number) {
    put(number ? std::to_string(static_cast<uint64_t>(*number)) : "");
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::string_view text() {
    const size_t end = rest_.find('\0');
    if (end == std::string_view::npos) {
      refuse();
    }
    const std::string_view field = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return field;
  }
  template <typename Number>
  Number number() {
    return parse<Number>(text());
  }
  template <typename Number>
  std::optional<Number> optional() {
    const std::string_view field = text();
    return field.empty() ? std::nullopt : std::optional(parse<Number>(field));
  }

 private:
  [[noreturn]] static void refuse() {
    throw base::BadData("cannot use the description of a session: it is damaged");
  }
  template <typename Number>
  static Number parse(std::string_view field) {
    Number number{};
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), number);
    if (error != std::errc() || end != field.data() + field.size()) {
      refuse();
    }
    return number;
  }

  std::string_view rest_;
};

template <typename Enum>
std::optional<Enum> as(const std::optional<uint32_t>& number) {
  return number ? std::optional(static_cast<Enum>(*number)) : std::nullopt;
}

}  // namespace

std::string compose_kept_text(const Endpoint& endpoint) {
  Writer out;
  out.put(endpoint.id);
  out.put(endpoint.instance_id);
  out.put(endpoint.cache_key);
  out.put(endpoint.socket_path);
  out.put(static_cast<int>(endpoint.claim));
  out.put(static_cast<int>(endpoint.many));
  out.put(static_cast<int>(endpoint.hot_refused));
  const ServingOptions& serving = endpoint.serving;
  out.put(serving.on_failure);
  out.put(serving.on_refusal);
  out.put(serving.read_attempts);
  out.put(serving.window);
  out.put(serving.window_factor);
  out.put(serving.peer_uid);
  out.put(serving.hot_list_path);
  out.put(serving.trace_path);
  const ImageIdentity& identity = endpoint.image->identity();
  out.put(endpoint.image->path());
  out.put(identity.device);
  out.put(identity.inode);
  out.put(identity.size);
  out.put(identity.modified_ns);
  out.put(identity.changed_ns);
  out.put(static_cast<int>(endpoint.image->view()));
  out.put(endpoint.hot ? endpoint.hot->path : "");
  return out.take();
}

KeptText parse_kept_text(std::string_view text) {
  Reader in(text);
  KeptText kept;
  Endpoint& endpoint = kept.endpoint;
  endpoint.id = in.text();
  endpoint.instance_id = in.text();
  endpoint.cache_key = in.text();
  endpoint.socket_path = in.text();
  endpoint.claim = static_cast<base::SocketClaim>(in.number<int>());
  endpoint.many = in.number<int>() != 0;
  endpoint.hot_refused = in.number<int>() != 0;
  ServingOptions& serving = endpoint.serving;
  serving.on_failure = as<OnFailure>(in.optional<uint32_t>());
  serving.on_refusal = as<OnRefusal>(in.optional<uint32_t>());
  serving.read_attempts = in.optional<uint32_t>();
  serving.window = in.optional<uint64_t>();
  serving.window_factor = in.optional<uint32_t>();
  serving.peer_uid = in.optional<uid_t>();
  serving.hot_list_path = in.text();
  serving.trace_path = in.text();
  kept.image_path = in.text();
  kept.identity.device = in.number<uint64_t>();
  kept.identity.inode = in.number<uint64_t>();
  kept.identity.size = in.number<uint64_t>();
  kept.identity.modified_ns = in.number<int64_t>();
  kept.identity.changed_ns = in.number<int64_t>();
  kept.view = static_cast<Image::View>(in.number<int>());
  kept.hot_path = in.text();
  return kept;
}

}  // namespace pager
