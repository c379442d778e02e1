// SPDX-License-Identifier: Apache-2.0
// Tests of clone/skip_rules.h.
#include "clone/skip_rules.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace cloning {
namespace {

Request vm() {
  Request request;
  request.profile = Profile::vm;
  return request;
}

Request excluding(const std::string& glob) {
  Request request;
  request.excludes = {glob};
  return request;
}

TEST(SkipRules, SocketsAreNeverCloned) {
  EXPECT_TRUE(is_left_out(Request(), "a/b", S_IFSOCK));
  EXPECT_FALSE(is_left_out(Request(), "a/b.sock", S_IFREG));
}

TEST(SkipRules, TheVmProfileOmitsFilesOfTheVmm) {
  EXPECT_TRUE(is_left_out(vm(), "logs", S_IFDIR));
  EXPECT_TRUE(is_left_out(vm(), "template", S_IFDIR));
  EXPECT_TRUE(is_left_out(vm(), "uffd", S_IFDIR));
  EXPECT_TRUE(is_left_out(vm(), "snapshots/snapshot-base", S_IFDIR));
  EXPECT_TRUE(is_left_out(vm(), "a/fc.sock", S_IFREG));
  EXPECT_TRUE(is_left_out(vm(), "a/fc.sock", S_IFLNK));
  EXPECT_TRUE(is_left_out(vm(), "a/memory.lz4.tmp", S_IFREG));
  EXPECT_TRUE(is_left_out(vm(), "memory.zst.tmp", S_IFREG));
  EXPECT_TRUE(is_left_out(vm(), "a/.x.snapfork-tmp", S_IFDIR));
}

TEST(SkipRules, TheVmProfileKeepsSimilarNames) {
  EXPECT_FALSE(is_left_out(vm(), "logs", S_IFREG));
  EXPECT_FALSE(is_left_out(vm(), "a/logs", S_IFDIR));
  EXPECT_FALSE(is_left_out(vm(), "a/template", S_IFDIR));
  EXPECT_FALSE(is_left_out(vm(), "snapshots/snapshot-latest", S_IFDIR));
  EXPECT_FALSE(is_left_out(vm(), "a/snapshots/snapshot-base", S_IFDIR));
  EXPECT_FALSE(is_left_out(vm(), "kept.zst.tmp", S_IFDIR));
  EXPECT_FALSE(is_left_out(vm(), "kept.sock", S_IFDIR));
  EXPECT_FALSE(is_left_out(vm(), "socket", S_IFREG));
}

TEST(SkipRules, APlainCloneKeepsFilesOfTheVmm) {
  EXPECT_FALSE(is_left_out(Request(), "logs", S_IFDIR));
  EXPECT_FALSE(is_left_out(Request(), "memory.zst.tmp", S_IFREG));
  EXPECT_FALSE(is_left_out(Request(), ".x.snapfork-tmp", S_IFREG));
}

TEST(SkipRules, AGlobWithoutASlashMatchesNames) {
  EXPECT_TRUE(is_left_out(excluding("*.log"), "x.log", S_IFREG));
  EXPECT_TRUE(is_left_out(excluding("*.log"), "a/b/x.log", S_IFREG));
  EXPECT_TRUE(is_left_out(excluding("b"), "a/b", S_IFDIR));
  EXPECT_FALSE(is_left_out(excluding("b"), "b/a", S_IFREG));
}

TEST(SkipRules, AGlobWithASlashMatchesPaths) {
  EXPECT_TRUE(is_left_out(excluding("a/*.log"), "a/x.log", S_IFREG));
  EXPECT_FALSE(is_left_out(excluding("a/*.log"), "a/b/x.log", S_IFREG));
  EXPECT_FALSE(is_left_out(excluding("a/*.log"), "c/a/x.log", S_IFREG));
  EXPECT_TRUE(is_left_out(excluding("/x.log"), "x.log", S_IFREG));
  EXPECT_FALSE(is_left_out(excluding("/x.log"), "a/x.log", S_IFREG));
}

TEST(SkipRules, MemoryPathsAreInASnapshotOfTheGuest) {
  EXPECT_TRUE(is_memory_path("snapshots/snapshot-latest/memory"));
  EXPECT_FALSE(is_memory_path("snapshots/memory"));
  EXPECT_FALSE(is_memory_path("a/snapshots/x/memory"));
  EXPECT_FALSE(is_memory_path("snapshots/a/b/memory"));
  EXPECT_FALSE(is_memory_path("snapshots/x/memory2"));
}

}  // namespace
}  // namespace cloning
