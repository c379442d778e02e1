// SPDX-License-Identifier: Apache-2.0
// Begins, follows and ends the trace of a session over the control socket.
#include "pager/ctl/session_trace.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "pager/ctl/control_client.h"
#include "pager/ctl/reply_fields.h"
#include "store/run_dir.h"

namespace pager {
namespace {

constexpr std::chrono::seconds kTimeout{30};

class SessionTrace : public hot::LiveTrace {
 public:
  SessionTrace(std::string control, const std::string& session)
      : control_(std::move(control)), target_("/sessions/" + session) {
    ControlClient client(control_, kTimeout);
    const base::JsonObject reply = client.ask_json("GET", target_);
    path_ = text_at(reply, "trace_path");
    if (!path_.empty()) {
      return;
    }
    path_ = std::filesystem::absolute(control_).parent_path() /
            ("record." + std::to_string(::getpid()) + ".trace");
    client.ask("POST", target_ + "/trace", base::JsonLine().text("trace_path", path_).str());
    is_ours_ = true;
    wait_for_file();
  }
  ~SessionTrace() override {
    if (!is_ours_) {
      return;
    }
    try {
      ControlClient(control_, kTimeout).ask("POST", target_ + "/trace");
    } catch (const std::exception& error) {
      base::say_detail(error.what());  // the session has ended, and the trace with it
    }
    ::unlink(path_.c_str());
  }
  SessionTrace(const SessionTrace&) = delete;
  SessionTrace(SessionTrace&&) = delete;
  SessionTrace& operator=(const SessionTrace&) = delete;
  SessionTrace& operator=(SessionTrace&&) = delete;

  const std::string& path() const override { return path_; }

  // Asks at most twice a second. Before the answer "ended" the server has written everything.
  bool ended() override {
    constexpr std::chrono::milliseconds kInterval{500};
    const auto now = std::chrono::steady_clock::now();
    if (!ended_ && now - asked_ >= kInterval) {
      asked_ = now;
      ended_ = !is_served();
    }
    return ended_;
  }

 private:
  bool is_served() const {
    try {
      ControlClient client(control_, kTimeout);
      return text_at(client.ask_json("GET", target_), "state") == "serving";
    } catch (const base::Refused&) {
      return false;
    }
  }

  // A thread of the server makes the file.
  void wait_for_file() {
    struct stat st {};
    while (::stat(path_.c_str(), &st) != 0) {
      if (SessionTrace::ended()) {
        throw base::Refused("cannot record session " + base::quoted(target_) +
                            ": it has ended, or the server cannot write " + base::quoted(path_));
      }
      ::usleep(1000);
    }
  }

  std::string control_;
  std::string target_;
  std::string path_;
  bool is_ours_ = false;
  bool ended_ = false;
  std::chrono::steady_clock::time_point asked_{};
};

std::string control_of(const base::ParsedOptions& parsed) {
  std::string control = parsed.value_or("control", "");
  if (control.empty()) {
    control = store::find_control_socket();
  }
  if (control.empty()) {
    throw base::UsageError(
        "no control socket: use --control, or set SNAPFORK_PAGER or XDG_RUNTIME_DIR");
  }
  return control;
}

}  // namespace

std::unique_ptr<hot::LiveTrace> open_session_trace(const base::ParsedOptions& parsed) {
  return std::make_unique<SessionTrace>(control_of(parsed), parsed.value_or("session", ""));
}

hot::SessionDrift find_drift(const base::ParsedOptions& parsed) {
  ControlClient client(control_of(parsed), kTimeout);
  const base::JsonObject reply =
      client.ask_json("GET", "/sessions/" + parsed.value_or("session", ""));
  const std::string* raw = reply.find("hot_list");
  hot::SessionDrift drift{.record = raw == nullptr ? "null" : *raw};
  if (drift.record != "null") {
    const base::JsonObject list = base::JsonObject::parse(drift.record, "hot_list");
    drift.list = text_at(list, "path");
    drift.pages = number_at(list, "pages");
    drift.faults_listed = number_at(list, "faults_listed");
    drift.faults_unlisted = number_at(list, "faults_unlisted");
    drift.drift_percent = number_at(list, "drift_percent");
  }
  return drift;
}

}  // namespace pager
