// SPDX-License-Identifier: Apache-2.0
#include "block/graph/change.h"

#include <cerrno>

#include "base/status.h"
#include "tests/block/graph/graph_fixture.h"
#include "tests/block/graph/request_load.h"

namespace penstock {
namespace {

class ChangeTest : public GraphFixture {
 protected:
  ChangeTest() : GraphFixture(2) {}
};

TEST_F(ChangeTest, ReplacingAChildMovesTheEdgeAndThePermissions) {
  ASSERT_OK(open(spy_options("old")));
  ASSERT_OK(open(spy_options("new")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("old"))));
  auto backend = attach("export", "top", kWriter);
  ASSERT_OK(replace("top", "file", "new"));
  EXPECT_EQ(spies_.of("old").permissions, (Permissions{0, kAllPermissions}));
  EXPECT_EQ(spies_.of("new").permissions.taken, kWriter.taken);
  run_sync(io(0), [&] {
    assert_in_coroutine();
    EXPECT_OK(co_write_block(**backend, 1, 9));
  });
  EXPECT_EQ(spies_.of("new").current[1], 9u);
  EXPECT_EQ(spies_.of("old").writes, 0u);
  EXPECT_OK(detach(*backend));
}

TEST_F(ChangeTest, LoopsAndUnknownNamesAreRefusedAndNothingChanges) {
  ASSERT_OK(
      open(spy_above("spy-filter", "top", spy_above("spy-filter", "mid", spy_options("low")))));
  const std::string before = picture();
  EXPECT_TRUE(fails_with(replace("mid", "file", "top"), EINVAL, {"loop", "'mid'", "'top'"}));
  EXPECT_TRUE(fails_with(replace("mid", "file", "mid"), EINVAL, {"loop"}));
  EXPECT_TRUE(fails_with(replace("nobody", "file", "top"), ENOENT, {"'nobody'"}));
  EXPECT_TRUE(fails_with(replace("top", "file", "nobody"), ENOENT, {"'nobody'"}));
  EXPECT_TRUE(fails_with(replace("top", "backing", "low"), ENOENT, {"'top'", "'backing'"}));
  EXPECT_EQ(picture(), before);
  EXPECT_OK(replace("top", "file", "mid"));
}

TEST_F(ChangeTest, TheOldChildGoesIfItHasNoNameAndNoUser) {
  ASSERT_OK(open(spy_above("spy-filter", "top", spy_options(""))));
  ASSERT_OK(open(spy_options("new")));
  EXPECT_EQ(spies_.live(), 3);
  ASSERT_OK(replace("top", "file", "new"));
  EXPECT_EQ(spies_.live(), 2);
}

// Old and new child, each drained zero to three times, while the parent's edge moves: afterwards
// the backend is quiesced as often as the new child is drained, and requests reach the new child
// only when it is undrained.
TEST_F(ChangeTest, ReplacingAChildWhileEitherSideIsDrained) {
  ASSERT_OK(open(spy_options("old")));
  ASSERT_OK(open(spy_options("new")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("old"))));
  auto backend = attach("export", "top", kWriter);
  ASSERT_OK(backend.status());
  uint64_t written = 0;
  for (int old_count = 0; old_count < 4; ++old_count) {
    for (int new_count = 0; new_count < 4; ++new_count) {
      SCOPED_TRACE(std::to_string(old_count) + " " + std::to_string(new_count));
      CoEvent done;
      on_control([&] {
        assert_in_coroutine();
        assert_control_thread();
        std::vector<std::unique_ptr<DrainedSection>> on_old, on_new;
        for (int i = 0; i < old_count; ++i) {
          on_old.push_back(std::make_unique<DrainedSection>(*graph_));
          ASSERT_OK(on_old.back()->co_begin({"old"}));
        }
        for (int i = 0; i < new_count; ++i) {
          on_new.push_back(std::make_unique<DrainedSection>(*graph_));
          ASSERT_OK(on_new.back()->co_begin({"new"}));
        }
        if (old_count > 0) spies_.of("old").quiet = 1;
        if (new_count > 0) spies_.of("new").quiet = 1;
        io(0).spawn("write", [&] {
          assert_in_coroutine();
          EXPECT_OK(co_write_block(**backend, 3, ++written));
          done.set();
        });
        EXPECT_EQ((*backend)->gate.quiesce_depth(), old_count);
        EXPECT_OK(graph_->co_replace_child("top", "file", "new"));
        EXPECT_EQ((*backend)->gate.quiesce_depth(), new_count);
        EXPECT_EQ(spies_.of("top").drained, new_count > 0 ? 1 : 0);
        spies_.of("new").quiet = 0;
        for (auto& section : on_new) section->co_end();
        EXPECT_EQ((*backend)->gate.quiesce_depth(), 0);
        done.co_wait();
        spies_.of("old").quiet = 0;
        for (auto& section : on_old) section->co_end();
        EXPECT_EQ(spies_.of("top").drained, 0);
        EXPECT_OK(graph_->co_replace_child("top", "file", "old"));
      });
    }
  }
  EXPECT_OK(detach(*backend));
}

TEST_F(ChangeTest, AStuckRequestTakesTheChangeBack) {
  ASSERT_OK(open(spy_options("old")));
  ASSERT_OK(open(spy_options("new")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("old"))));
  auto backend = attach("export", "top", kWriter);
  const std::string before = picture();
  CoEvent inside, release, done;
  spies_.of("old").on_request = [&] {
    assert_in_coroutine();
    inside.set();
    release.co_wait();
    return absl::OkStatus();
  };
  io(0).spawn("held", [&] {
    assert_in_coroutine();
    EXPECT_OK(co_write_block(**backend, 1, 1));
    done.set();
  });
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    inside.co_wait();
    Child* edge = graph_->find("top")->find_child("file");
    class Move : public GraphChange {
     public:
      explicit Move(Child* edge) : edge_(edge) {}
      absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE {
        plan_ = {};
        plan_.edges.push_back({edge_, graph.find("new"), std::nullopt});
        plan_.recomputed.push_back(edge_->parent);
        plan_.drained_nodes.push_back(edge_->parent);
        return absl::OkStatus();
      }

     private:
      Child* const edge_;
    };
    EXPECT_TRUE(fails_with(
        co_run_change(*graph_, std::make_unique<Move>(edge), std::chrono::milliseconds(20)),
        ETIMEDOUT, {"'top'", "write", "'export'"}));
    EXPECT_EQ(spies_.of("new").prepared, 0);
    EXPECT_TRUE(graph_->changes().claims.empty());
    EXPECT_TRUE(graph_->changes().pins.empty());
    release.set();
    done.co_wait();
  });
  EXPECT_EQ(picture(), before);
  EXPECT_OK(detach(*backend));
}

// Two changes in one transaction: both or none.
TEST_F(ChangeTest, AFailingSecondChangeTakesTheFirstBack) {
  ASSERT_OK(open(spy_options("a")));
  ASSERT_OK(open(spy_options("b")));
  ASSERT_OK(open(spy_above("spy-filter", "f", std::string("a"))));
  const std::string before = picture();
  class Redirect : public GraphChange {
   public:
    Redirect(std::string parent, std::string target)
        : parent_(std::move(parent)), target_(std::move(target)) {}
    absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE {
      plan_ = {};
      if (graph.find(target_) == nullptr) return errno_message(ENOENT, "no " + target_);
      Node* parent = graph.find(parent_);
      plan_.edges.push_back({parent->find_child("file"), graph.find(target_), std::nullopt});
      plan_.recomputed.push_back(parent);
      plan_.drained_nodes.push_back(parent);
      return absl::OkStatus();
    }

   private:
    const std::string parent_, target_;
  };
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    std::unique_ptr<GraphChange> changes[] = {std::make_unique<Redirect>("f", "b"),
                                              std::make_unique<Redirect>("f", "missing")};
    EXPECT_TRUE(fails_with(co_run_changes(*graph_, changes), ENOENT, {"missing"}));
    EXPECT_TRUE(graph_->changes().pins.empty());
  });
  EXPECT_EQ(picture(), before);
}

// A plan that does not fit any more when its slice comes is made anew.
TEST_F(ChangeTest, AChangeThatComesTooLateIsPreparedAgain) {
  ASSERT_OK(open(spy_options("a")));
  class Late : public GraphChange {
   public:
    Late(int misfits, int& prepared) : misfits_(misfits), prepared_(prepared) {}
    absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE {
      plan_ = {};
      plan_.drained_nodes.push_back(graph.find("a"));
      ++prepared_;
      return absl::OkStatus();
    }
    bool still_fits(const Graph& /*graph*/) const override GLOBAL_STATE_CODE {
      return prepared_ > misfits_;
    }

   private:
    const int misfits_;
    int& prepared_;
  };
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    int prepared = 0;
    EXPECT_OK(co_run_change(*graph_, std::make_unique<Late>(3, prepared)));
    EXPECT_EQ(prepared, 4);
    prepared = 0;
    EXPECT_TRUE(fails_with(co_run_change(*graph_, std::make_unique<Late>(1000, prepared)), EAGAIN,
                           {"Try again"}));
    EXPECT_EQ(graph_->find("a")->drain_depth, 0);
  });
}

// Contexts that still look at counters of nodes and gates that have gone would be found by ASan.
TEST_F(ChangeTest, NodesAndBackendsAreFreedOnlyAfterAllContextsTurned) {
  for (int round = 0; round < 30; ++round) {
    ASSERT_OK(open(spy_above("spy-format", "top", spy_options(""))));
    auto backend = attach("export", "top", kWriter);
    ASSERT_OK(backend.status());
    std::atomic<int> left{8};
    CoEvent done;
    for (unsigned i = 0; i < 8; ++i) {
      io(i % 2).spawn("write", [&, i] {
        assert_in_coroutine();
        // Late ones are refused.
        (void)co_write_block(**backend, i, i);
        if (--left == 0) done.set();
      });
    }
    if (round % 2 == 0) {
      run_sync(io(0), [&] {
        assert_in_coroutine();
        done.co_wait();
      });
    }
    on_control([&] {
      assert_in_coroutine();
      assert_control_thread();
      EXPECT_OK(graph_->co_detach_backend(**backend));
      EXPECT_OK(graph_->co_close("top"));
      done.co_wait();
    });
    backend->reset();
    EXPECT_EQ(spies_.live(), 0);
  }
}

}  // namespace
}  // namespace penstock
