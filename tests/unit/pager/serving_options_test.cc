// SPDX-License-Identifier: Apache-2.0
// Tests the serving options that command lines and requests have in common.
#include "pager/serve/serving_options.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "pager/serve/control_request.h"

namespace pager {
namespace {

ServingOptions read(std::vector<std::string> words) {
  base::Options options("program", "", "Do nothing.");
  add_session_options(options);
  add_serving_options(options);
  words.insert(words.begin(), "program");
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  return read_serving_options(*options.parse(static_cast<int>(words.size()), argv.data()));
}

TEST(ServingOptions, WhatIsNotGivenHasNoValueAndADefault) {
  const ServingOptions none = read({});
  EXPECT_FALSE(none.on_failure || none.on_refusal || none.window || none.peer_uid);
  EXPECT_EQ(none.failure_action(), OnFailure::poison);
  EXPECT_EQ(none.refusal_action(), OnRefusal::kill);
  EXPECT_EQ(none.attempts(), kReadAttempts);
  EXPECT_TRUE(none.window_of(/*traced=*/false).is_automatic());
}

TEST(ServingOptions, ATracedVmmGetsEachPageAloneUnlessAWindowIsGiven) {
  EXPECT_EQ(read({}).window_of(/*traced=*/true).setting(), 1U);
  EXPECT_EQ(read({"--window=auto"}).window_of(/*traced=*/true).setting(), 0U);
  EXPECT_EQ(read({"--window=8"}).window_of(/*traced=*/true).setting(), 8U);
}

TEST(ServingOptions, AnAutomaticWindowHasABound) {
  EXPECT_EQ(read({}).window_of(/*traced=*/false).factor(), 2U);
  EXPECT_EQ(read({"--window-factor=5"}).window_of(/*traced=*/false).factor(), 5U);
  EXPECT_EQ(read({"--window-factor=unbounded"}).window_of(/*traced=*/false).factor(), 0U);
  EXPECT_EQ(read({"--window=8"}).window_of(/*traced=*/false).factor(), 0U);
  for (const char* bad : {"--window-factor=0", "--window-factor=1001", "--window-factor=auto"}) {
    EXPECT_THROW(read({bad}), base::UsageError) << bad;
  }
  ServingOptions session = read({"--window-factor=5"});
  session.use_defaults(read({"--window-factor=7"}));
  EXPECT_EQ(session.window_factor, 5U);
  session = read({});
  session.use_defaults(read({"--window-factor=unbounded"}));
  EXPECT_EQ(session.window_factor, 0U);
}

TEST(ServingOptions, RefusesBadValues) {
  for (const char* bad : {"--window=0", "--window=513", "--window=x", "--on-failure=close",
                          "--on-refusal=poison", "--peer-uid=4294967295", "--peer-uid=-1"}) {
    EXPECT_THROW(read({bad}), base::UsageError) << bad;
  }
  EXPECT_THROW(read({"--lazy", "--window=1"}), base::UsageError);
  EXPECT_EQ(read({"--peer-uid=4294967294"}).peer_uid, kLargestUid);
}

TEST(ServingOptions, DefaultsFillOnlyWhatIsNotGiven) {
  ServingOptions session = read({"--on-failure=kill"});
  ServingOptions server = read({"--on-failure=poison", "--on-refusal=close", "--window=4",
                                "--peer-uid=7", "--hot=list", "--trace=file"});
  server.read_attempts = 9;
  session.use_defaults(server);
  EXPECT_EQ(session.failure_action(), OnFailure::kill);
  EXPECT_EQ(session.refusal_action(), OnRefusal::close);
  EXPECT_EQ(session.attempts(), 9U);
  EXPECT_EQ(session.window, 4U);
  EXPECT_FALSE(session.peer_uid) << "an option of one session";
  EXPECT_EQ(session.hot_list_path + session.trace_path, "") << "options of one session";
}

TEST(ServingOptions, ARequestIsReadAsItWasComposed) {
  for (const char* window : {"--window=auto", "--window=3", "--lazy"}) {
    const SessionRequest sent{.id = "vm@0123abcd",
                              .instance_id = "a \"label\"",
                              .cache_key = "k",
                              .memory_path = "/m",
                              .serving = read({window, "--on-failure=kill", "--on-refusal=close",
                                               "--peer-uid=7", "--hot=/h", "--trace=/t"}),
                              .replace = true};
    const std::string body = compose_session_request(sent);
    const SessionRequest got = parse_session_request(body, /*needs_cache_key=*/true);
    EXPECT_EQ(compose_session_request(got), body);
    EXPECT_EQ(got.id, sent.id);
    EXPECT_EQ(got.serving.window, sent.serving.window) << window;
    EXPECT_EQ(got.serving.peer_uid, 7U);
    EXPECT_EQ(got.serving.trace_path, "/t");
  }
  const SessionRequest bare{.id = "a", .memory_path = "/m"};
  const SessionRequest got =
      parse_session_request(compose_session_request(bare), /*needs_cache_key=*/false);
  EXPECT_FALSE(got.serving.on_failure || got.serving.on_refusal || got.serving.window ||
               got.serving.peer_uid || got.replace);
}

}  // namespace
}  // namespace pager
