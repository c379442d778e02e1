#include "pager/window.h"

#include <gtest/gtest.h>

namespace pager {
namespace {

// What a fault at `page` gets, all of it installed.
uint64_t fault(Window& window, uint64_t page) {
  const uint64_t pages = window.pages_for(page);
  window.installed_until(page + pages);
  return pages;
}

TEST(Window, OpensOnAWalkAndNotOnJumps) {
  Window window = Window::automatic();
  EXPECT_EQ(fault(window, 100), 1U);
  EXPECT_EQ(fault(window, 101), 4U);
  EXPECT_EQ(fault(window, 105), 16U);
  EXPECT_EQ(fault(window, 121), 32U);
  EXPECT_EQ(fault(window, 153), 32U);
  EXPECT_EQ(fault(window, 7), 1U);
  EXPECT_EQ(fault(window, 9000), 1U);
  EXPECT_EQ(fault(window, 185), 32U) << "the walk goes on";
}

TEST(Window, FollowsSeveralWalksAtOnce) {
  Window window = Window::automatic();
  for (uint64_t walk = 0; walk < 8; ++walk) {
    EXPECT_EQ(fault(window, walk * 1000), 1U);
  }
  for (uint64_t walk = 0; walk < 8; ++walk) {
    EXPECT_EQ(fault(window, walk * 1000 + 1), 4U);
  }
}

TEST(Window, AWalkGoesOnWhereTheRunWasCutShort) {
  Window window = Window::automatic();
  fault(window, 0);
  EXPECT_EQ(window.pages_for(1), 4U);
  window.installed_until(3);  // page 3 is removed, say
  EXPECT_EQ(window.pages_for(3), 16U);
}

TEST(Window, AFixedOneStaysAndIsBounded) {
  Window one = Window::fixed(1);
  Window many = Window::fixed(1000);
  for (uint64_t page = 0; page < 3; ++page) {
    EXPECT_EQ(fault(one, page), 1U);
    EXPECT_EQ(fault(many, page), Window::kMaxPages);
  }
  EXPECT_EQ(one.zero_block(), 1U);
  EXPECT_EQ(many.zero_block(), Window::kMaxPages);
}

}  // namespace
}  // namespace pager
