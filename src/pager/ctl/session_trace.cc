// SPDX-License-Identifier: Apache-2.0
// Begins, follows and ends the trace of a session over the control socket.
#include "pager/ctl/session_trace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/message.h"
#include "pager/ctl/addresses.h"
#include "pager/ctl/control_client.h"
#include "pager/ctl/reply_fields.h"

namespace pager {
namespace {

constexpr std::chrono::seconds kTimeout{30};

// How the files of traces that this program begins are named. A recorder holds a lock on its file
// (flock), so a file without a lock is that of a recorder that was killed.
constexpr std::string_view kNameStart = "hotpage-record.";

// Holds SIGINT, SIGTERM and SIGHUP back, so that a recording that is interrupted still ends its
// trace at the server. They are delivered when the object is destroyed.
class HeldSignals {
 public:
  HeldSignals() {
    ::sigemptyset(&held_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction action {};
      if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
        ::sigaddset(&held_, signal);  // an ignored signal would be pending, too
      }
    }
    ::pthread_sigmask(SIG_BLOCK, &held_, &before_);
  }
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals(HeldSignals&&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  HeldSignals& operator=(HeldSignals&&) = delete;

  // Throws if one of them has come.
  void check() const {
    sigset_t pending;
    ::sigpending(&pending);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      if (::sigismember(&pending, signal) == 1 && ::sigismember(&held_, signal) == 1) {
        throw base::Error(base::ExitCode::system, "interrupted");
      }
    }
  }

 private:
  sigset_t held_{};
  sigset_t before_{};
};

class SessionTrace : public hot::LiveTrace {
 public:
  SessionTrace(std::string control, const std::string& session)
      : control_(std::move(control)), session_(session), target_(session_target(session)) {
    ControlClient client(control_, kTimeout);
    path_ = text_at(client.ask_json("GET", target_), "trace_path");
    if (!path_.empty()) {
      adopt();
      return;
    }
    path_ = std::filesystem::absolute(control_).parent_path() /
            (std::string(kNameStart) + std::to_string(::getpid()) + ".trace");
    signals_.emplace();
    client.ask("POST", target_ + "/trace", base::JsonLine().text("trace_path", path_).str());
    try {
      wait_for_file();
    } catch (...) {
      end();
      throw;
    }
  }
  ~SessionTrace() override {
    if (signals_) {
      end();
    }
  }
  SessionTrace(const SessionTrace&) = delete;
  SessionTrace(SessionTrace&&) = delete;
  SessionTrace& operator=(const SessionTrace&) = delete;
  SessionTrace& operator=(SessionTrace&&) = delete;

  const std::string& path() const override { return path_; }

  // Asks at most twice a second. Before the answer "ended" the server has written everything.
  bool ended() override {
    constexpr std::chrono::milliseconds kInterval{500};
    if (signals_) {
      signals_->check();
    }
    const auto now = std::chrono::steady_clock::now();
    if (!ended_ && now - asked_ >= kInterval) {
      asked_ = now;
      ended_ = !is_traced();
    }
    return ended_;
  }

 private:
  // The trace may have been begun by a recorder that was killed: then this one ends it.
  void adopt() {
    const std::filesystem::path path = path_;
    if (!path.filename().string().starts_with(kNameStart) ||
        path.parent_path() != std::filesystem::absolute(control_).parent_path()) {
      return;
    }
    lock_ = base::try_open(path_, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (lock_ && ::flock(lock_->get(), LOCK_EX | LOCK_NB) == 0) {
      signals_.emplace();
    }
  }

  // Another recorder may end the trace, and begin one in another file.
  bool is_traced() const {
    try {
      ControlClient client(control_, kTimeout);
      const base::JsonObject reply = client.ask_json("GET", target_);
      return text_at(reply, "state") == "serving" && text_at(reply, "trace_path") == path_;
    } catch (const base::Refused&) {
      return false;
    }
  }

  // A thread of the server makes the file, and reports a failure only in its log.
  void wait_for_file() {
    const auto deadline = std::chrono::steady_clock::now() + kTimeout;
    while (!(lock_ = base::try_open(path_, O_RDONLY | O_NOFOLLOW | O_NONBLOCK))) {
      if (SessionTrace::ended() || std::chrono::steady_clock::now() >= deadline) {
        throw base::Refused("cannot record session " + base::quoted(session_) +
                            ": it has ended, or the server cannot write " + base::quoted(path_));
      }
      ::usleep(1000);
    }
    static_cast<void>(::flock(lock_->get(), LOCK_EX | LOCK_NB));
  }

  void end() const {
    try {
      ControlClient(control_, kTimeout).ask("POST", target_ + "/trace");
    } catch (const std::exception& error) {
      base::say_detail(error.what());  // the session has ended, and the trace with it
    }
    ::unlink(path_.c_str());
  }

  std::string control_;
  std::string session_;
  std::string target_;
  std::string path_;
  std::optional<HeldSignals> signals_;  // set: this object ends the trace
  std::optional<base::Fd> lock_;
  bool ended_ = false;
  std::chrono::steady_clock::time_point asked_{};
};

}  // namespace

std::unique_ptr<hot::LiveTrace> open_session_trace(const base::ParsedOptions& parsed) {
  return std::make_unique<SessionTrace>(control_socket_of(parsed), parsed.value_or("session", ""));
}

hot::SessionDrift find_drift(const base::ParsedOptions& parsed) {
  ControlClient client(control_socket_of(parsed), kTimeout);
  const base::JsonObject reply =
      client.ask_json("GET", session_target(parsed.value_or("session", "")));
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
