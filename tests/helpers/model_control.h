// SPDX-License-Identifier: Apache-2.0
// Calls of pager-model to the control socket of the service.
#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "http/client.h"
#include "model_plan.h"

// A connection to the service. With ModelSettings::repeats, a request whose reply was lost, because
// the server has ended, is sent again; the server may have carried it out. A server that leaves its
// guests to the next one answers 503. Belongs to one thread.
class ModelService {
 public:
  explicit ModelService(const ModelSettings& settings)
      : socket_(settings.control), repeats_(settings.repeats) {}

  bool repeats() const { return repeats_; }

  http::Client::Reply request(std::string_view method, const std::string& target,
                              std::string_view body) {
    const auto deadline = base::Deadline::after(std::chrono::seconds(60));
    constexpr unsigned kUnavailable = 503;
    for (;;) {
      try {
        if (!http_) {
          http_ = http::Client::connect(socket_, deadline);
        }
        if (!http_) {
          throw base::Refused("no server listens at " + socket_);
        }
        const http::Client::Reply reply = http_->request(method, target, body, deadline);
        if (!repeats_ || reply.status != kUnavailable) {
          return reply;
        }
      } catch (const std::exception&) {
        http_.reset();
        if (!repeats_ || deadline.passed()) {
          throw;
        }
        continue;
      }
      http_.reset();
    }
  }

 private:
  std::string socket_;
  bool repeats_;
  std::optional<http::Client> http_;
};

// The requests of one session.
class ModelControl {
 public:
  ModelControl(const ModelSettings& settings, std::string id)
      : id_(std::move(id)), service_(settings) {}
  const std::string& id() const { return id_; }
  bool repeats() const { return service_.repeats(); }

  // Returns the status. Throws unless it is one of `allowed`.
  unsigned post(const std::string& action, const std::string& body,
                const std::vector<unsigned>& allowed) {
    const std::string target = "/sessions" + (action.empty() ? "" : "/" + id_ + "/" + action);
    reply_ = service_.request("POST", target, body);
    if (std::ranges::find(allowed, reply_.status) == allowed.end()) {
      throw base::Refused("POST " + target + " " + body + ": " + std::to_string(reply_.status) +
                          " " + reply_.body);
    }
    return reply_.status;
  }
  nlohmann::json reply() const { return nlohmann::json::parse(reply_.body); }
  // Of the session.
  nlohmann::json look() {
    reply_ = service_.request("GET", "/sessions/" + id_, "");
    return reply();
  }

 private:
  std::string id_;
  ModelService service_;
  http::Client::Reply reply_;
};
