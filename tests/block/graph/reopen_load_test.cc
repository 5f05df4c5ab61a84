// SPDX-License-Identifier: Apache-2.0
// Nodes are reopened under load: no request is lost, failed, done twice, or given to a driver that
// is drained. First with real threads, then in seeded schedules.
#include <memory>
#include <string>

#include "base/status.h"
#include "block/graph/reopen.h"
#include "tests/block/graph/graph_fixture.h"
#include "tests/block/graph/request_load.h"

namespace penstock {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kRounds = 60;
constexpr uint64_t kSeeds = 30;
#else
constexpr int kRounds = 300;
constexpr uint64_t kSeeds = 150;
#endif

NodeOptions read_only(NodeOptions options) {
  options.read_only = true;
  return options;
}

NodeOptions top_above(const std::string& file, const std::string& backing) {
  NodeOptions options = spy_above("spy-format", "top", file);
  options.children["backing"].reference = backing;
  return options;
}

class ReopenLoadTest : public GraphFixture {
 protected:
  ReopenLoadTest() : GraphFixture(3) {}
};

TEST_F(ReopenLoadTest, RequestsGoOnWhileDriversEdgesAndFlagsChange) {
  ASSERT_OK(open(spy_options("file")));
  ASSERT_OK(open(spy_options("base")));
  ASSERT_OK(open(spy_above("spy-filter", "filter", std::string("file"))));
  ASSERT_OK(open(top_above("file", "base")));
  auto backend = *attach("export", "top", kWriter);
  RequestLoad load(*backend, spies_.of("file"));
  for (unsigned i = 0; i < 6; ++i) load.start_worker(io(i % io_count()), i);
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    for (int round = 0; round < kRounds; ++round) {
      EXPECT_OK(co_reopen(*graph_, {top_above("filter", "")}));
      EXPECT_OK(co_reopen(*graph_, {spy_options("file"), read_only(spy_options("base"))}));
      EXPECT_TRUE(fails_with(co_reopen(*graph_, {read_only(spy_options("file"))}), EBUSY,
                             {"'file'", "'filter'"}));
      EXPECT_OK(co_reopen(*graph_, {top_above("file", "base"), spy_options("base"),
                                    spy_above("spy-filter", "filter", std::string("file"))}));
    }
  });
  load.stop_and_wait();
  EXPECT_EQ(load.failures(), 0u) << load.first_failure();
  EXPECT_EQ(load.issued(), load.answered());
  EXPECT_EQ(spies_.of("top").writes, load.writes());
  EXPECT_EQ(spies_.of("file").writes, load.writes());
  EXPECT_EQ(spies_.live(), 4);
  EXPECT_EQ(quiesce_depth(*backend), 0);
  EXPECT_OK(detach(backend));
}

class Schedule {
 public:
  explicit Schedule(uint64_t seed) : world_(3, seed), scope_(world_.context(0)) {
    spies_.register_drivers(registry_);
    graph_ = std::make_unique<Graph>(registry_, host_);
  }

  void run() {
    spawn(0, [this] { co_build(); });
    wait();
    for (unsigned i = 0; i < 6; ++i) spawn(1 + i % 2, [this, i] { co_requests(i); });
    for (int i = 0; i < 2; ++i) spawn(0, [this] { co_reopens(); });
    spawn(2, [this] { co_drains(); });
    wait();
    spawn(0, [this] { co_tear_down(); });
    wait();
    EXPECT_EQ(spies_.violations(), 0u);
    EXPECT_EQ(spies_.live(), 0);
  }

 private:
  unsigned pick(unsigned below) { return static_cast<unsigned>(world_.random()() % below); }
  void spawn(unsigned context, std::function<void()> function) {
    ++running_;
    world_.context(context).spawn("schedule", [this, function = std::move(function)] {
      function();
      --running_;
    });
  }
  void wait() {
    const bool ended = world_.run_until([this] { return running_ == 0; });
    EXPECT_TRUE(ended) << running_ << " coroutines are stuck";
    if (!ended) std::abort();
  }

  void co_build() {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_OK(graph_->co_open(spy_options("file")).status());
    EXPECT_OK(graph_->co_open(spy_options("base")).status());
    EXPECT_OK(graph_->co_open(spy_above("spy-filter", "filter", std::string("file"))).status());
    EXPECT_OK(graph_->co_open(top_above("file", "base")).status());
    backend_ = *graph_->co_attach_backend("export", *graph_->find("top"), kWriter);
    for (const char* name : {"file", "base", "filter", "top"}) {
      const auto pauses = [this] {
        assert_in_coroutine();
        for (unsigned count = pick(4); count > 0; --count) co_pause();
        return absl::OkStatus();
      };
      spies_.of(name).on_request = pauses;
      spies_.of(name).on_reopen = pauses;
      spies_.of(name).on_prepare = [pauses](const Permissions&) { return pauses(); };
    }
  }
  void co_requests(unsigned block) {
    assert_in_coroutine();
    for (uint64_t value = 1; value < 20; ++value) {
      EXPECT_OK(co_write_block(*backend_, block, value));
      const absl::StatusOr<uint64_t> read = co_read_block(*backend_, block);
      ASSERT_OK(read.status());
      EXPECT_EQ(*read, value);
      if (pick(3) == 0) EXPECT_OK(co_flush_all(*backend_));
    }
  }
  void co_reopens() {
    assert_in_coroutine();
    assert_control_thread();
    for (int round = 0; round < 10; ++round) {
      std::vector<NodeOptions> nodes;
      if (pick(2) == 0) {
        nodes.push_back(top_above(pick(2) == 0 ? "file" : "filter", pick(2) == 0 ? "base" : ""));
      }
      if (pick(2) == 0) nodes.push_back(spy_options("file"));
      if (pick(2) == 0) {
        nodes.push_back(pick(2) == 0 ? read_only(spy_options("base")) : spy_options("base"));
      }
      if (nodes.empty()) nodes.push_back(spy_above("spy-filter", "filter", std::string("file")));
      const absl::Status status = co_reopen(*graph_, nodes);
      // The other one may be at it, or may have put a backing node there that is not mentioned.
      if (!status.ok()) {
        const int error = status_errno(status);
        EXPECT_TRUE(error == EBUSY || error == EAGAIN) << status;
      }
      co_pause();
    }
  }
  void co_drains() {
    assert_in_coroutine();
    for (int round = 0; round < 10; ++round) {
      DrainedSection section(*graph_);
      EXPECT_OK(section.co_begin({"file", "base"}));
      ++spies_.of("file").quiet;
      for (unsigned pauses = pick(5); pauses > 0; --pauses) co_pause();
      --spies_.of("file").quiet;
      section.co_end();
      co_pause();
    }
  }
  void co_tear_down() {
    assert_in_coroutine();
    assert_control_thread();
    for (const char* name : {"file", "base", "filter", "top"}) {
      EXPECT_EQ(spies_.of(name).prepared, 0) << name;
      EXPECT_EQ(spies_.of(name).drained, 0) << name;
    }
    EXPECT_OK(graph_->co_detach_backend(*backend_));
    for (const char* name : {"top", "filter", "file", "base"}) EXPECT_OK(graph_->co_close(name));
    EXPECT_TRUE(graph_->changes().reopening.empty());
    EXPECT_TRUE(graph_->changes().pins.empty());
    EXPECT_TRUE(graph_->changes().claims.empty());
  }

  SpyWorld spies_;
  DriverRegistry registry_;
  NoHost host_;
  FakeWorld world_;
  ControlThreadScope scope_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<Backend> backend_;
  int running_ = 0;
};

TEST(ReopenSchedules, EverySeedKeepsTheInvariants) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::make_unique<Schedule>(seed)->run();
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock
