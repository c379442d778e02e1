// SPDX-License-Identifier: Apache-2.0
// Tests states in files, and that every damaged one is refused by name.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "pager/faults/session_state.h"
#include "pager/serve/kept_text.h"
#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

const std::vector<hot::Region> kRegions{
    {.base = 0x700000000000, .size = 16 * hot::kSmallPage, .offset = 0},
    {.base = 0x600000000000, .size = 8 * hot::kSmallPage, .offset = 16 * hot::kSmallPage}};
constexpr ImageIdentity kImage{.device = 1, .inode = 2, .size = 24 * hot::kSmallPage};

base::Fd memory_file() {
  return base::Fd(::memfd_create("test", MFD_CLOEXEC));
}

base::Fd copy_of(int fd) {
  return base::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

TEST(KeptState, AnotherMappingOfTheFileContinuesTheState) {
  StateMapping first(kRegions, kImage, "a text", memory_file());
  EXPECT_TRUE(first.pin());
  PageTable(first.state()).mark_installed(20, 3);
  first.counters().add(Count::faults, 7);
  first.counters().latency.record(1000);
  StateMapping second(copy_of(first.file()));
  EXPECT_EQ(second.regions(), kRegions);
  EXPECT_EQ(second.text(), "a text");
  EXPECT_TRUE(PageTable(second.state()).installed(22));
  EXPECT_EQ(second.counters().get(Count::faults), 7U);
  EXPECT_EQ(second.counters().latency.count(), 1U);
}

TEST(KeptState, MovesToAnotherFileInPlace) {
  StateMapping mapping(kRegions, kImage, "a text", memory_file());
  SessionState& state = mapping.state();
  PageTable table(state);
  table.mark_installed(20, 3);
  base::Fd file = memory_file();
  ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(state.total_bytes)), 0);
  const base::Fd second = copy_of(file.get());
  mapping.move_to(std::move(file), [&](int given) {
    // A server that starts now continues from the new file.
    const StateMapping other(copy_of(given));
    EXPECT_EQ(other.text(), "a text");
  });
  EXPECT_EQ(&mapping.state(), &state);
  table.mark_installed(5, 1);
  StateMapping other(copy_of(second.get()));
  EXPECT_TRUE(PageTable(other.state()).installed(20));
  EXPECT_TRUE(PageTable(other.state()).installed(5));
}

TEST(KeptState, UsesAtMost256KiBAndThreeBitsAPage) {
  const std::vector<hot::Region> large{
      {.base = 0x700000000000, .size = uint64_t{64} << 30U, .offset = 0}};
  const uint64_t pages = large[0].size / hot::kSmallPage;
  const StateMapping mapping(large, {.size = large[0].size});
  EXPECT_LE(const_cast<StateMapping&>(mapping).state().total_bytes, (256U << 10U) + 3 * pages / 8);
}

std::string refusal_of(const std::function<void(SessionState&)>& damage, off_t cut = 0) {
  StateMapping mapping(kRegions, kImage, "", memory_file());
  damage(mapping.state());
  if (cut > 0 &&
      ::ftruncate(mapping.file(), static_cast<off_t>(mapping.state().total_bytes) - cut) != 0) {
    return "cannot truncate";
  }
  try {
    const StateMapping second(copy_of(mapping.file()));
    return "accepted";
  } catch (const base::BadData& error) {
    return error.what();
  }
}

TEST(KeptState, RefusesADamagedStateByName) {
  const std::string start = "cannot use the state of a session: ";
  const auto none = [](SessionState&) {};
  EXPECT_EQ(refusal_of(none), "accepted");
  EXPECT_EQ(refusal_of(none, 8).find(start + "it is truncated: it has "), 0U);
  EXPECT_EQ(refusal_of([](SessionState& state) { state.magic[0] = 'x'; }),
            start + "it is not a session's state");
  EXPECT_EQ(refusal_of([](SessionState& state) { state.version = 4; }),
            start + "it has version 4, and this server reads version 7");
  EXPECT_EQ(refusal_of([](SessionState& state) { state.boot_id[0] = 'x'; }),
            start + "it was made before the last boot");
  EXPECT_EQ(refusal_of([](SessionState& state) {
              state.region_count = 1U << 30U;
            }).find(start + "it is truncated"),
            0U);
  EXPECT_EQ(refusal_of([](SessionState& state) { state.region_count = 1; }),
            start + "its layout is not that of its regions");
  EXPECT_EQ(refusal_of([](SessionState& state) {
              state.image.size = hot::kSmallPage;
            }).find(start + "its regions do not fit the image: "),
            0U);
  EXPECT_EQ(refusal_of([](SessionState& state) { state.removed_at += 8; }),
            start + "its layout is not that of its regions");
  EXPECT_EQ(refusal_of([](SessionState& state) { state.text_bytes = ~uint64_t{0}; }),
            start + "its layout is not that of its regions");
  EXPECT_EQ(refusal_of([](SessionState& state) { state.hot.count = 5; }),
            start + "its layout is not that of its regions");
  EXPECT_EQ(refusal_of([](SessionState& state) { state.trace.bytes.fill('x'); }),
            start + "its layout is not that of its regions");
}

TEST(KeptState, RefusesAnEmptyFile) {
  EXPECT_THROW(StateMapping{memory_file()}, base::BadData);
}

TEST(KeptText, AnEndpointSurvivesWithAllItsOptions) {
  const ScratchDir dir;
  write_memory_file(dir / "memory", 4);
  Endpoint endpoint;
  endpoint.id = "vm";
  endpoint.instance_id = "label\n\xff";
  endpoint.cache_key = "";
  endpoint.socket_path = "/run/s/vm.sock";
  endpoint.claim = base::SocketClaim::by_lock;
  endpoint.many = true;
  endpoint.image = Image::open(dir / "memory");
  endpoint.serving.on_failure = OnFailure::kill;
  endpoint.serving.window = 1;
  endpoint.serving.peer_uid = 0;
  endpoint.serving.trace_path = "-";
  const KeptText kept = parse_kept_text(compose_kept_text(endpoint));
  EXPECT_EQ(kept.endpoint.id, endpoint.id);
  EXPECT_EQ(kept.endpoint.instance_id, endpoint.instance_id);
  EXPECT_EQ(kept.endpoint.socket_path, endpoint.socket_path);
  EXPECT_EQ(kept.endpoint.claim, endpoint.claim);
  EXPECT_TRUE(kept.endpoint.many);
  EXPECT_EQ(kept.endpoint.serving.on_failure, OnFailure::kill);
  EXPECT_EQ(kept.endpoint.serving.on_refusal, std::nullopt);
  EXPECT_EQ(kept.endpoint.serving.window, 1U);
  EXPECT_EQ(kept.endpoint.serving.peer_uid, 0U);
  EXPECT_EQ(kept.endpoint.serving.trace_path, "-");
  EXPECT_EQ(kept.image_path, dir / "memory");
  EXPECT_EQ(kept.identity, endpoint.image->identity());
  EXPECT_EQ(kept.view, endpoint.image->view());
  EXPECT_EQ(kept.hot_path, "");
}

TEST(KeptText, RefusesADamagedText) {
  EXPECT_THROW(parse_kept_text(""), base::BadData);
  EXPECT_THROW(parse_kept_text(std::string(100, '\0')), base::BadData);
}

TEST(KeptImage, IsRefusedIfTheDescriptorIsOfAnotherFile) {
  const ScratchDir dir;
  write_memory_file(dir / "memory", 4);
  write_memory_file(dir / "other", 4);
  const std::shared_ptr<const Image> image = Image::open(dir / "memory");
  EXPECT_NO_THROW(
      Image::adopt(dir / "memory", copy_of(image->fd()), image->identity(), image->view()));
  EXPECT_THROW(Image::adopt(dir / "memory", base::open_file(dir / "other", O_RDONLY),
                            image->identity(), image->view()),
               base::BadData);
}

}  // namespace
}  // namespace pager
