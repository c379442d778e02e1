// SPDX-License-Identifier: Apache-2.0
// Flushing several files: more files than threads, and a file that does not exist. What is durable
// afterwards is tested in tests/e2e/power_cut.bats.
#include "file/sync_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace {

// A tmpfs has no journal, so its files are flushed by threads.
TEST(SyncFiles, FlushesManyFilesAndReportsOneThatIsAbsent) {
  for (const char* const parent : {"/dev/shm", "/tmp"}) {
    std::string path = std::string(parent) + "/sync-files-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    std::vector<std::string> files;
    for (int i = 0; i < 200; ++i) {
      files.push_back(path + "/" + std::to_string(i));
      std::ofstream(files.back()) << i;
    }
    EXPECT_NO_THROW(file::sync_files(files, {path}));
    EXPECT_NO_THROW(file::sync_files({}, {}));
    files.insert(files.begin() + 100, path + "/absent");
    try {
      file::sync_files(files, {path});
      ADD_FAILURE() << "no exception";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ENOENT);
      EXPECT_NE(std::string(error.what()).find("/absent'"), std::string::npos) << error.what();
    }
    EXPECT_THROW(file::sync_files({files.front()}, {path + "/absent"}), std::system_error);
    std::filesystem::remove_all(path);
  }
}

}  // namespace
