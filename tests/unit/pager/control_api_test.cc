// SPDX-License-Identifier: Apache-2.0
// Tests the requests of the control interface and their replies.
#include "pager/serve/control_api.h"
#include "hot/hpl1.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/unix_socket.h"
#include "hot/hot_list.h"
#include "pager/serve/metrics.h"
#include "pager/serve/session_report.h"
#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

using Json = nlohmann::json;

class ControlApiTest : public testing::Test {
 protected:
  void SetUp() override { write_memory_file(dir_ / "memory", 16); }

  Json ask(unsigned status, std::string_view method, std::string_view path, const Json& body) {
    return ask_text(status, method, path, body.dump());
  }
  Json ask_text(unsigned status, std::string_view method, std::string_view path,
                std::string_view body = "") {
    const HttpReply reply = api_.answer(method, path, body, [] { return false; });
    EXPECT_EQ(reply.status, status) << method << " " << path << " " << body << ": " << reply.body;
    return reply.body.empty() ? Json() : Json::parse(reply.body);
  }
  Json session(const std::string& id) const {
    return {{"session_id", id}, {"backing_memory_path", dir_ / "memory"}};
  }
  void create(const std::string& id) { ask(200, "POST", "/sessions", session(id)); }
  // Expects a reply of 400 whose message contains `part`.
  void expect_refusal(const Json& body, const std::string& part) {
    const Json reply = ask(400, "POST", "/sessions", body);
    EXPECT_NE(reply.value("error", "").find(part), std::string::npos) << reply;
  }
  static bool someone_listens(const std::string& path) {
    return base::connect_unix(path, base::Deadline::after(std::chrono::minutes(1))).has_value();
  }

  ScratchDir dir_;
  Pager pager_{{}};
  ControlApi api_{pager_, {.socket_dir = dir_.path(), .version = "9.9.9"}};
};

TEST_F(ControlApiTest, CreatesListsDescribesAndClosesASession) {
  const Json made = ask(200, "POST", "/sessions", session("vm-1"));
  EXPECT_EQ(made, Json({{"session_id", "vm-1"},
                        {"uffd_socket_path", dir_ / "vm-1.sock"},
                        {"pager_version", "9.9.9"}}));
  EXPECT_TRUE(someone_listens(dir_ / "vm-1.sock"));
  struct stat st {};
  ASSERT_EQ(::stat((dir_ / "vm-1.sock").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);

  const Json list = ask_text(200, "GET", "/sessions");
  ASSERT_EQ(list["sessions"].size(), 1U);
  EXPECT_EQ(list["sessions"][0]["state"], "waiting");
  EXPECT_EQ(ask_text(200, "GET", "/sessions/vm-1")["memory_path"], dir_ / "memory");
  EXPECT_EQ(ask_text(200, "GET", "/health")["active_sessions"], 1);

  ask_text(204, "POST", "/sessions/vm-1/close");
  ask_text(204, "POST", "/sessions/vm-1/close");
  ask_text(404, "GET", "/sessions/vm-1");
  EXPECT_FALSE(someone_listens(dir_ / "vm-1.sock"));
  EXPECT_NE(::stat((dir_ / "vm-1.sock").c_str(), &st), 0) << "the socket is removed";
}

TEST_F(ControlApiTest, UsesTheInstanceIdIfThereIsNoSessionId) {
  const Json body{{"instance_id", "i-7"}, {"backing_memory_path", dir_ / "memory"}};
  EXPECT_EQ(ask(200, "POST", "/sessions", body)["session_id"], "i-7");
}

TEST_F(ControlApiTest, HostileIdsStayInTheDirectory) {
  const Json made = ask(200, "POST", "/sessions", session("../../etc/x y"));
  EXPECT_EQ(made["session_id"], "-.-..-etc-x-y");
  expect_refusal(session(std::string(200, 'a')), "107");
}

TEST_F(ControlApiTest, AWaitingSessionOfTheSameImageIsReused) {
  struct stat before {};
  struct stat after {};
  create("vm");
  ASSERT_EQ(::stat((dir_ / "vm.sock").c_str(), &before), 0);
  create("vm");
  EXPECT_EQ(ask_text(200, "GET", "/health")["active_sessions"], 1);
  EXPECT_TRUE(someone_listens(dir_ / "vm.sock"));
  ASSERT_EQ(::stat((dir_ / "vm.sock").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(ControlApiTest, ASessionOfAnotherImageIsAConflictUnlessReplaced) {
  create("vm");
  write_memory_file(dir_ / "other", 16);
  Json body = session("vm");
  body["backing_memory_path"] = dir_ / "other";
  const Json reply = ask(409, "POST", "/sessions", body);
  EXPECT_NE(reply.value("error", "").find("it waits with a different memory file"),
            std::string::npos)
      << reply;
  EXPECT_EQ(ask_text(200, "GET", "/sessions/vm")["memory_path"], dir_ / "memory");
  body["replace"] = true;
  ask(200, "POST", "/sessions", body);
  const Json made = ask_text(200, "GET", "/sessions/vm");
  EXPECT_EQ(made["memory_path"], dir_ / "other");
  struct stat st {};
  ASSERT_EQ(::stat((dir_ / "other").c_str(), &st), 0);
  EXPECT_EQ(made["memory_inode"], st.st_ino);
  EXPECT_EQ(made["memory_device"], st.st_dev);
  EXPECT_TRUE(someone_listens(dir_ / "vm.sock"));
}

TEST_F(ControlApiTest, AWaitingSessionWithOlderContentsIsReplaced) {
  create("vm");
  struct stat before {};
  struct stat after {};
  ASSERT_EQ(::stat((dir_ / "vm.sock").c_str(), &before), 0);
  const base::Fd memory = base::open_file(dir_ / "memory", O_WRONLY);
  base::pwrite_full(memory.get(), std::vector<std::byte>(hot::kSmallPage, std::byte{7}), 0,
                    "memory");
  create("vm");
  ASSERT_EQ(::stat((dir_ / "vm.sock").c_str(), &after), 0);
  EXPECT_NE(before.st_ino, after.st_ino) << "the guest would get old bytes of the file";
  EXPECT_EQ(ask_text(200, "GET", "/health")["active_sessions"], 1);
}

TEST_F(ControlApiTest, ARefusedRequestChangesNothing) {
  create("vm");
  const base::Fd trace = base::open_file(dir_ / "trace", O_WRONLY | O_CREAT, 0600);
  base::write_full(trace.get(), "an earlier trace\n", "trace");
  write_memory_file(dir_ / "other", 16);
  Json body = session("vm");
  body["backing_memory_path"] = dir_ / "other";
  body["trace_path"] = dir_ / "trace";
  ask(409, "POST", "/sessions", body);
  struct stat st {};
  ASSERT_EQ(::fstat(trace.get(), &st), 0);
  EXPECT_EQ(st.st_size, 17);
  body["replace"] = true;
  body["trace_path"] = dir_ / "no/such/directory";
  ask(500, "POST", "/sessions", body);
  EXPECT_EQ(ask_text(200, "GET", "/sessions/vm")["memory_path"], dir_ / "memory");
  EXPECT_TRUE(someone_listens(dir_ / "vm.sock")) << "the waiting session is lost";
}

TEST_F(ControlApiTest, KeepsTheSessionNameOfAFork) {
  EXPECT_EQ(ask(200, "POST", "/sessions", session("vm@0123abcd"))["session_id"], "vm@0123abcd");
}

TEST_F(ControlApiTest, NamesTheFaultOfABadRequest) {
  for (const char* text : {"", "nonsense", "[]", "7", "{\"session_id\":"}) {
    ask_text(400, "POST", "/sessions", text);
  }
  expect_refusal({{"backing_memory_path", "/x"}}, "session_id or instance_id is required");
  expect_refusal({{"session_id", "a"}}, "backing_memory_path is required");
  const auto with = [&](const char* key, const Json& value) {
    Json body = session("a");
    body[key] = value;
    return body;
  };
  expect_refusal(with("session_id", 7), "'session_id' is not a string");
  expect_refusal(with("hot_list_path", Json::array()), "'hot_list_path' is not a string");
  expect_refusal(with("peer_uid", -1), "'peer_uid' is not a user id");
  expect_refusal(with("peer_uid", "root"), "'peer_uid' is not a user id");
  expect_refusal(with("peer_uid", 4294967295), "'peer_uid' is not a user id");
  expect_refusal(with("on_failure", "explode"), "poison");
  expect_refusal(with("trace_path", "-"), "no standard output");
  expect_refusal(with("backing_memory_path", dir_.path()), "not a regular file");
  expect_refusal(with("backing_memory_path", std::string("/a\0b", 4)), "zero byte");
  EXPECT_EQ(ask_text(200, "GET", "/health")["active_sessions"], 0) << "the state was changed";
}

TEST_F(ControlApiTest, RefusesAKeyThatOccursTwiceInAnyRequest) {
  create("vm");
  const std::string start =
      R"({"session_id":"a","backing_memory_path":")" + (dir_ / "memory") + "\"";
  const auto error_of = [&](const char* path, const std::string& body) {
    return ask_text(400, "POST", path, body).value("error", "");
  };
  EXPECT_EQ(error_of("/sessions", start + R"(,"session_id":"b"})")
                .find("the body is not a JSON object: duplicate key 'session_id' in one object"),
            0U);
  EXPECT_NE(error_of("/sessions", start + R"(,"x":{"y":1,"y":1}})").find("duplicate key 'y'"),
            std::string::npos);
  EXPECT_NE(error_of("/sessions/vm/complete", R"({"wait":true,"wait":false})")
                .find("duplicate key 'wait'"),
            std::string::npos);
  EXPECT_NE(error_of("/sessions/vm/prefetch", R"({"hot_list_path":"","hot_list_path":"/x"})")
                .find("duplicate key 'hot_list_path'"),
            std::string::npos);
  EXPECT_EQ(ask_text(200, "GET", "/health")["active_sessions"], 1) << "the state was changed";
}

TEST_F(ControlApiTest, OverlaysAreRefusedUnlessTheyAreEmpty) {
  const auto with_overlays = [&](const Json& overlays) {
    Json body = session("a");
    body["overlays"] = overlays;
    return body;
  };
  for (const Json& empty : {Json(nullptr), Json::array(), Json::object()}) {
    ask(200, "POST", "/sessions", with_overlays(empty));
  }
  for (const Json& overlays : {Json::array({1}), Json{{"a", 1}}, Json("x"), Json(false)}) {
    expect_refusal(with_overlays(overlays), "overlays are not supported");
  }
}

TEST_F(ControlApiTest, UnknownAndEmptyFieldsAreIgnored) {
  Json body = session("a");
  body["what"] = {{"is", "this"}};
  body["hot_list_path"] = nullptr;
  body["trace_path"] = "";
  ask(200, "POST", "/sessions", body);
}

TEST_F(ControlApiTest, AMissingMemoryFileIsAnErrorOfTheRequest) {
  Json body = session("a");
  body["backing_memory_path"] = dir_ / "absent";
  ask(400, "POST", "/sessions", body);
}

TEST_F(ControlApiTest, AnUnusableHotListIsOnlyAWarning) {
  const std::string larger =
      hot::encode_hpl1(std::vector<hot::HotPage>{{.region = 0, .offset = 16 * hot::kSmallPage}});
  const std::string longer =
      hot::encode_hpl1(std::vector<hot::HotPage>(17, {.region = 0, .offset = 0}));
  const std::vector<std::pair<std::string, std::string>> lists{{larger, "larger image"},
                                                               {longer, "the list has 17 entries"},
                                                               {"", "the file is empty"},
                                                               {larger.substr(0, 6), "at byte"}};
  for (const auto& [list, why] : lists) {
    const base::Fd fd = base::open_file(dir_ / "hot", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    base::write_full(fd.get(), list, "hot");
    Json body = session("a");
    body["hot_list_path"] = dir_ / "hot";
    const Json reply = ask(200, "POST", "/sessions", body);
    ASSERT_EQ(reply["warnings"].size(), 1U) << why;
    EXPECT_NE(reply["warnings"][0].get<std::string>().find(why), std::string::npos) << reply.dump();
  }
  Json body = session("a");
  body["hot_list_path"] = dir_ / "absent";
  EXPECT_EQ(ask(200, "POST", "/sessions", body)["warnings"].size(), 1U);
  EXPECT_FALSE(ask(200, "POST", "/sessions", session("a")).contains("warnings"));
}

TEST_F(ControlApiTest, ADrainingServerRefusesSessions) {
  create("a");
  ask_text(204, "POST", "/drain");
  ask(503, "POST", "/sessions", session("b"));
  const Json health = ask_text(200, "GET", "/health");
  EXPECT_EQ(health, Json({{"version", "9.9.9"}, {"draining", true}, {"active_sessions", 1}}));
}

TEST_F(ControlApiTest, OtherPathsAndMethodsAreRefused) {
  for (const char* path : {"/", "", "/sessionsx", "/sessions/", "/sessions/a/b", "/nothing"}) {
    ask_text(404, "GET", path);
  }
  ask_text(405, "POST", "/health");
  ask_text(405, "GET", "/drain");
  ask_text(405, "DELETE", "/sessions");
  ask_text(405, "DELETE", "/sessions/a");
  ask_text(405, "GET", "/sessions/a/close");
}

TEST_F(ControlApiTest, StatsHaveTheNamesOfHypemansPager) {
  const Json stats = ask_text(200, "GET", "/stats");
  for (const char* name : {"version",
                           "draining",
                           "active_sessions",
                           "cache_bytes",
                           "cache_max",
                           "cache_items",
                           "cache_hits",
                           "cache_misses",
                           "cache_shards",
                           "cache_lookup_nanos",
                           "cache_lookup_max_nanos",
                           "cache_add_nanos",
                           "cache_add_max_nanos",
                           "faults",
                           "backing_bytes_read",
                           "copies",
                           "copy_errors",
                           "active_faults",
                           "max_concurrent_faults",
                           "fault_nanos",
                           "fault_max_nanos",
                           "read_page_nanos",
                           "read_page_max_nanos",
                           "backing_read_nanos",
                           "backing_read_max_nanos",
                           "copy_nanos",
                           "copy_max_nanos"}) {
    EXPECT_TRUE(stats.contains(name)) << name;
  }
}

TEST_F(ControlApiTest, EachCounterIsReportedUnderTheNamesOfItsRow) {
  create("vm");
  const Json session = ask_text(200, "GET", "/sessions/vm");
  const std::string metrics = metrics_text(pager_.info(), "v");
  const Json summary = Json::parse(summary_json(pager_.totals()));
  std::string family;
  for (const CounterText& row : kCounters) {
    if (!row.key.empty()) {
      const Json& object = row.object.empty() ? session : session.at(std::string(row.object));
      EXPECT_EQ(object.value(std::string(row.key), -1), 0) << row.key;
    }
    if (!row.summary.empty()) {
      EXPECT_EQ(summary.value(std::string(row.summary), -1), 0) << row.summary;
    }
    if (row.metric.empty()) {
      continue;
    }
    const std::string name = "uffd_serve_" + std::string(row.metric);
    const std::string label = row.label.empty() ? "" : "{kind=\"" + std::string(row.label) + "\"}";
    EXPECT_NE(metrics.find("\n" + name + label + " 0\n"), std::string::npos) << name << label;
    if (name != family) {
      family = name;
      EXPECT_FALSE(row.help.empty()) << name;
      const size_t help = metrics.find("# HELP " + name + " ");
      EXPECT_NE(help, std::string::npos) << name;
      EXPECT_EQ(metrics.find("# HELP " + name + " ", help + 1), std::string::npos)
          << "the metrics of one name do not follow each other";
    }
  }
}

}  // namespace
}  // namespace pager
