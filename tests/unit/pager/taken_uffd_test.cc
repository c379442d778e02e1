// SPDX-License-Identifier: Apache-2.0
// Tests that the right userfaultfd is taken out of a process, or none.
#include "pager/faults/taken_uffd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <span>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "pager/kernel/uffd.h"
#include "tests/unit/child_process.h"
#include "tests/unit/pager/test_guest.h"

namespace pager {
namespace {

constexpr uint64_t kPages = 16;

// A process with the memory of a guest, whose userfaultfd is the only one, one of two, or closed.
class TakenUffdTest : public UserfaultfdTest {
 protected:
  enum class Holds { one, another_too, none };
  static std::string result_of(Holds holds) {
    std::array<int, 2> place{};
    EXPECT_EQ(::pipe2(place.data(), O_CLOEXEC), 0);
    const base::Fd read_end(place[0]);
    const base::Fd write_end(place[1]);
    const ChildProcess process([&](const std::function<void()>& ready) {
      const TestGuest other(kPages);  // its userfaultfd has the lower number
      const TestGuest guest(kPages);
      if (holds != Holds::another_too) {
        ::close(other.uffd());
      }
      if (holds == Holds::none) {
        ::close(guest.uffd());
      }
      const hot::Region region = guest.region();
      base::write_full(write_end.get(), {reinterpret_cast<const char*>(&region), sizeof region},
                       "pipe");
      ready();
      guest.word(3);  // waits for its page, if it is registered
      ::pause();
    });
    EXPECT_TRUE(process.wait_ready());
    hot::Region region;
    EXPECT_EQ(::read(read_end.get(), &region, sizeof region), sizeof region);
    Vmm vmm = Vmm::of_pidfd(base::open_pidfd(process.pid()).value_or(base::Fd()));
    vmm.set_identity(process.pid(), base::process_start_time(process.pid()).value_or(0));
    try {
      const base::Fd uffd = take_userfaultfd(vmm, std::span(&region, 1));
      return wait_for_true([&] { return uffd_readable(uffd.get()); }) ? "its fault" : "no fault";
    } catch (const base::Refused& error) {
      return error.what();
    }
  }
};

TEST_F(TakenUffdTest, IsTheOneOfTheRegions) {
  EXPECT_EQ(result_of(Holds::one), "its fault");
  EXPECT_EQ(result_of(Holds::another_too), "its fault");
}

TEST_F(TakenUffdTest, IsRefusedIfTheMemoryIsNoLongerRegistered) {
  EXPECT_NE(result_of(Holds::none).find("it holds none"), std::string::npos);
}

}  // namespace
}  // namespace pager
