// SPDX-License-Identifier: Apache-2.0
// Seeded schedules of whole control commands, requests and drains on the fake poller: three clients
// each change a tree of their own, which share one node, and the graph at the end is that of a
// model that knows only which commands succeeded. Some commands fail on purpose. Nodes move to real
// threads, on which nothing runs. (A backup works on threads of its own: backup_load_test.cc.) A
// failing seed is printed; PENSTOCK_TEST_SEED replays it alone, PENSTOCK_TEST_SEEDS sets how many.
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "block/graph/drain.h"
#include "control/daemon_state.h"
#include "control/qmp/command_table.h"
#include "iothreads/fake_world.h"
#include "tests/block/graph/explore_seeds.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kDefaultSeeds = 40;
#else
constexpr uint64_t kDefaultSeeds = 200;
#endif
constexpr unsigned kContexts = 4;
constexpr unsigned kTrees = 3;
constexpr unsigned kCommands = 24;      // of each client
constexpr unsigned kRequests = 30;      // of each worker
constexpr unsigned kUsedBlocks = 64;    // no resize goes below
constexpr unsigned kSharedBlock = 32;   // first block of the requests to the shared node
constexpr unsigned kFailureOneIn = 24;  // commands that change permissions
constexpr unsigned kLoadFailureOneIn = 8;

struct ModelNode {
  std::string driver;
  std::string file;  // empty: a storage
  std::string home;  // empty: the control thread
  uint64_t size = 0;
};

// One client's tree. Its edges are changed by nobody else.
struct Tree {
  std::string mark;  // at the end of each name
  std::map<std::string, ModelNode> nodes;
  std::map<std::string, std::string> backends;  // to nodes
  std::unique_ptr<Backend> disk, job;

  std::string name(const std::string& what) const { return what + mark; }
  bool has(const std::string& what) const { return nodes.count(name(what)) != 0; }
  // The filters directly above have their child's size.
  void resize(const std::string& node, uint64_t size) {
    nodes.at(node).size = size;
    for (auto& [above, facts] : nodes) {
      if (facts.file == node && facts.driver == "spy-filter") resize(above, size);
    }
  }
  void redirect(const std::string& from, const std::string& to) {
    for (auto& [above, facts] : nodes) {
      if (facts.file == from && above != to) facts.file = to;
    }
    for (auto& [backend, node] : backends) {
      if (node == from) node = to;
    }
  }
  // With all that is below it.
  void move(const std::string& node, const std::string& home) {
    ModelNode& facts = nodes.at(node);
    facts.home = home;
    if (!facts.file.empty()) move(facts.file, home);
  }
};

class CommandExploration {
 public:
  explicit CommandExploration(uint64_t seed)
      : seed_(seed), world_(kContexts, seed), scope_(world_.context(0)) {}

  void run() {
    control([this] { co_build(); });
    wait_for_threads();
    // However many turns the threads took to start.
    world_.random().seed(seed_);
    for (unsigned i = 0; i < kTrees; ++i) {
      control([this, i] { co_commands(trees_[i]); });
      for (unsigned worker = 0; worker < 2; ++worker) {
        anywhere([this, i, worker] { co_requests(trees_[i], 2 * i + worker); });
      }
    }
    for (int i = 0; i < 2; ++i) anywhere([this] { co_drains(); });
    wait();
    control([this] { co_compare(); });
    wait();
    control([this] { co_tear_down(); });
    wait_for_threads();
    EXPECT_EQ(spies_.violations(), 0u) << "a request reached a drained driver";
    EXPECT_EQ(spies_.live(), 0);
    EXPECT_EQ(failures_, std::vector<std::string>{});
  }

 private:
  unsigned pick(unsigned below) { return static_cast<unsigned>(world_.random()() % below); }
  std::string pick_of(const std::vector<std::string>& names) {
    return names[pick(static_cast<unsigned>(names.size()))];
  }

  void spawn(unsigned context, std::function<void()> function) {
    ++running_;
    world_.context(context).spawn("explorer", [this, function = std::move(function)] {
      function();
      --running_;
    });
  }
  void control(std::function<void()> function) { spawn(0, std::move(function)); }
  void anywhere(std::function<void()> function) { spawn(pick(kContexts), std::move(function)); }
  void wait() {
    const bool ended = world_.run_until([this] { return running_ == 0; });
    EXPECT_TRUE(ended) << running_ << " coroutines are stuck";
    // What is stuck keeps stacks and gates; nothing can be cleaned up.
    if (!ended) std::abort();
  }
  // Threads start and end outside of this world.
  void wait_for_threads() {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!world_.run_until([this] { return running_ == 0; })) {
      if (std::chrono::steady_clock::now() > limit) std::abort();
      std::this_thread::yield();
    }
  }
  // True if it succeeded. Otherwise it must be one of the errors, and must have changed nothing.
  bool note(const std::string& what, const absl::Status& status) {
    const int error = status_errno(status);
    if (!status.ok() && error != EAGAIN && error != EIO) {
      failures_.push_back(what + ": " + std::string(status.message()));
    }
    return status.ok();
  }
  bool co_command(const std::string& name, const Json& arguments) CONTROL_COROUTINE_CODE {
    return note(name, co_run_qmp_command(*daemon_, name, arguments).status());
  }

  void co_build() {
    assert_in_coroutine();
    assert_control_thread();
    daemon_ = std::make_unique<Daemon>(host_, Engine::kAuto, nullptr);
    spies_.register_drivers(daemon_->drivers);
    for (const char* id : kThreads) {
      co_command("object-add", {{"qom-type", "iothread"}, {"id", id}});
    }
    co_command("blockdev-add", {{"driver", "spy"}, {"node-name", "shared"}});
    shared_ = *daemon_->graph.co_attach_backend("s", *daemon_->graph.find("shared"), kWriter);
    for (unsigned i = 0; i < kTrees; ++i) {
      Tree& tree = trees_[i];
      tree.mark = std::to_string(i);
      share_all(tree.name("disk"), kWriter.taken);
      share_all(tree.name("above"), kConsistentRead);
      co_command("blockdev-add", {{"driver", "spy"}, {"node-name", tree.name("alt")}});
      co_command("blockdev-add", {{"driver", "spy"}, {"node-name", tree.name("base")}});
      co_command("blockdev-add", {{"driver", "spy-format"},
                                  {"node-name", tree.name("disk")},
                                  {"file", tree.name("base")}});
      tree.nodes[tree.name("alt")] = {"spy", "", "", kFullSize};
      tree.nodes[tree.name("base")] = {"spy", "", "", kFullSize};
      tree.nodes[tree.name("disk")] = {"spy-format", tree.name("base"), "", kFullSize};
      Node& disk = *daemon_->graph.find(tree.name("disk"));
      tree.disk = *daemon_->graph.co_attach_backend(tree.name("d"), disk, kWriter);
      tree.backends[tree.name("d")] = tree.name("disk");
      for (const char* what : {"alt", "base"}) misbehave(tree.name(what), true);
      for (const char* what : {"disk", "above", "filter"}) misbehave(tree.name(what), false);
      spies_.of(tree.name("above")).on_load = [this] {
        assert_in_coroutine();
        for (unsigned pauses = pick(6); pauses > 0; --pauses) co_pause();
        return pick(kLoadFailureOneIn) == 0 ? errno_status(EIO, "loading") : absl::OkStatus();
      };
    }
    misbehave("shared", false);
  }
  void share_all(const std::string& node, Permission taken) {
    spies_.of(node).child_permissions = [taken](const Child&, const Permissions&) {
      return Permissions{taken, kAllPermissions};
    };
  }
  void misbehave(const std::string& node, bool fails) {
    Spy& spy = spies_.of(node);
    spy.on_request = [this] {
      assert_in_coroutine();
      for (unsigned pauses = pick(4); pauses > 0; --pauses) co_pause();
      return absl::OkStatus();
    };
    spy.on_prepare = [this, fails](const Permissions&) {
      assert_in_coroutine();
      for (unsigned pauses = pick(3); pauses > 0; --pauses) co_pause();
      return fails && pick(kFailureOneIn) == 0 ? errno_status(EIO, "locking") : absl::OkStatus();
    };
  }

  void co_commands(Tree& tree) {
    assert_in_coroutine();
    assert_control_thread();
    for (unsigned i = 0; i < kCommands; ++i) {
      switch (pick(9)) {
        case 0:
          tree.has("above") ? co_close_above(tree) : co_open_above(tree);
          break;
        case 1:
          tree.has("filter") ? co_remove_filter(tree) : co_insert_filter(tree);
          break;
        case 2:
          co_replace_child(tree);
          break;
        case 3:
          co_resize(tree);
          break;
        case 4:
          co_move(tree);
          break;
        case 5:
          tree.job != nullptr ? co_detach(tree) : co_attach(tree);
          break;
        case 6:
          co_reopen(tree);
          break;
        case 7:
          co_transaction(tree);
          break;
        default:
          co_refused(tree);
      }
      if (pick(3) == 0) co_pause();
    }
  }

  // A node above one of the tree or above the shared one, or with a storage of its own.
  void co_open_above(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string name = tree.name("above");
    const std::string driver = pick(2) == 0 ? "spy-filter" : "spy-format";
    Json arguments = {{"driver", driver}, {"node-name", name}};
    const std::string file = pick_of({tree.name("disk"), tree.name("base"), "shared", "own"});
    const uint64_t size = file == "own" || file == "shared" ? kFullSize : tree.nodes.at(file).size;
    arguments["file"] = Json(file);
    if (file == "own") {
      arguments["file"] = {{"driver", "spy"}, {"node-name", tree.name("own")}};
    }
    if (!co_command("blockdev-add", arguments)) return;
    // Nobody else resizes what is in the tree.
    tree.nodes[name] = {driver, file == "own" ? tree.name("own") : file, "", size};
    if (file == "own") tree.nodes[tree.name("own")] = {"spy", "", "", kFullSize};
  }
  void co_close_above(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string name = tree.name("above");
    for (const auto& [backend, node] : tree.backends) {
      if (node == name) return;
    }
    for (const auto& [above, facts] : tree.nodes) {
      if (facts.file == name) return;
    }
    if (!co_command("blockdev-del", {{"node-name", name}})) return;
    tree.nodes.erase(name);
    tree.nodes.erase(tree.name("own"));
  }

  void co_insert_filter(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string name = tree.name("filter");
    const std::string node = pick_of({tree.name("disk"), tree.name("base"), tree.name("alt")});
    const Json filter = {{"driver", "spy-filter"}, {"node-name", name}};
    if (!co_command("x-penstock-insert-filter", {{"node-name", node}, {"filter", filter}})) return;
    tree.redirect(node, name);
    tree.nodes[name] = {"spy-filter", node, "", tree.nodes.at(node).size};
  }
  void co_remove_filter(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string name = tree.name("filter");
    if (!co_command("x-penstock-remove-filter", {{"node-name", name}})) return;
    tree.redirect(name, tree.nodes.at(name).file);
    tree.nodes.erase(name);
  }

  void co_replace_child(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string parent = tree.name("disk");
    const std::string to = pick_of({tree.name("base"), tree.name("alt")});
    const Json arguments = {{"parent", parent}, {"child", "file"}, {"node", to}};
    if (co_command("x-penstock-replace-child", arguments)) tree.nodes.at(parent).file = to;
  }

  void co_resize(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string node = pick_of({tree.name("base"), tree.name("alt")});
    const uint64_t size = (kUsedBlocks * 2 + pick(kUsedBlocks * 2)) * Spy::kBlockSize;
    if (co_command("block_resize", {{"node-name", node}, {"size", size}})) tree.resize(node, size);
  }

  // To the control thread, or to a real one.
  void co_move(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string node = pick_of({tree.name("disk"), tree.name("base"), tree.name("alt")});
    const std::string home = pick_of({"", kThreads[0], kThreads[1]});
    const Json thread = home.empty() ? Json() : Json(home);
    if (co_command("x-blockdev-set-iothread", {{"node-name", node}, {"iothread", thread}})) {
      tree.move(node, home);
    }
  }

  static Json reopened(const std::string& storage) {
    return {{"driver", "spy"}, {"node-name", storage}};
  }
  // New drivers for what is there, and another child for the format.
  void co_reopen(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string to = pick_of({tree.name("base"), tree.name("alt")});
    const Json disk = {{"driver", "spy-format"}, {"node-name", tree.name("disk")}, {"file", to}};
    std::vector<Json> options;
    const unsigned choice = 1 + pick(7);
    if (choice & 1) options.push_back(reopened(tree.name("base")));
    if (choice & 2) options.push_back(disk);
    if (choice & 4) options.push_back(reopened(tree.name("alt")));
    if (!co_command("blockdev-reopen", {{"options", options}})) return;
    if (choice & 2) tree.nodes.at(tree.name("disk")).file = to;
  }

  // A filter comes or goes together with a reopening, or all of it is taken back.
  void co_transaction(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string filter = tree.name("filter");
    const std::string node = pick_of({tree.name("disk"), tree.name("base"), tree.name("alt")});
    const bool removes = tree.has("filter");
    std::vector<Json> actions;
    if (removes) {
      actions.push_back({{"type", "x-penstock-remove-filter"}, {"data", {{"node-name", filter}}}});
    } else {
      const Json options = {{"driver", "spy-filter"}, {"node-name", filter}};
      actions.push_back({{"type", "x-penstock-insert-filter"},
                         {"data", {{"node-name", node}, {"filter", options}}}});
    }
    const Json storage = reopened(pick_of({tree.name("base"), tree.name("alt")}));
    actions.push_back(
        {{"type", "blockdev-reopen"}, {"data", {{"options", std::vector<Json>{storage}}}}});
    if (pick(3) == 0) {
      actions.insert(actions.begin() + pick(3), Json{{"type", "abort"}});
      const auto answer = co_run_qmp_command(*daemon_, "transaction", {{"actions", actions}});
      if (answer.ok()) failures_.push_back("a transaction with an abort is done");
      return;
    }
    if (!co_command("transaction", {{"actions", actions}})) return;
    if (removes) {
      tree.redirect(filter, tree.nodes.at(filter).file);
      tree.nodes.erase(filter);
    } else {
      tree.redirect(node, filter);
      tree.nodes[filter] = {"spy-filter", node, "", tree.nodes.at(node).size};
    }
  }

  void co_attach(Tree& tree) CONTROL_COROUTINE_CODE {
    std::vector<std::string> names{tree.name("disk"), tree.name("base"), tree.name("alt")};
    if (tree.has("filter")) names.push_back(tree.name("filter"));
    if (tree.has("above")) names.push_back(tree.name("above"));
    const std::string node = pick_of(names);
    auto job =
        daemon_->graph.co_attach_backend(tree.name("j"), *daemon_->graph.find(node), kReader);
    if (!note("attach", job.status())) return;
    tree.job = *std::move(job);
    tree.backends[tree.name("j")] = node;
    EXPECT_OK(co_read_block(*tree.job, 1).status());
  }
  void co_detach(Tree& tree) CONTROL_COROUTINE_CODE {
    if (!note("detach", daemon_->graph.co_detach_backend(*tree.job))) return;
    tree.job.reset();
    tree.backends.erase(tree.name("j"));
  }

  // Commands that have to fail.
  void co_refused(Tree& tree) CONTROL_COROUTINE_CODE {
    const std::string node = pick_of({tree.name("base"), "shared", "nobody"});
    const std::vector<std::pair<std::string, Json>> commands{
        {"blockdev-del", {{"node-name", tree.name("disk")}}},
        {"blockdev-add", {{"driver", "spy"}, {"node-name", tree.name("base")}}},
        {"blockdev-add", {{"driver", "spy-format"}, {"node-name", "new"}, {"file", "nobody"}}},
        {"x-blockdev-set-iothread", {{"node-name", node}, {"iothread", "none-such"}}},
        {"x-penstock-remove-filter", {{"node-name", node}}},
        {"x-penstock-replace-child",
         {{"parent", tree.name("disk")}, {"child", "file"}, {"node", tree.name("disk")}}},
    };
    const auto& [name, arguments] = commands[pick(static_cast<unsigned>(commands.size()))];
    if (co_run_qmp_command(*daemon_, name, arguments).ok()) failures_.push_back(name + " is done");
  }

  void co_requests(Tree& tree, unsigned worker) {
    assert_in_coroutine();
    for (unsigned i = 0; i < kRequests; ++i) {
      absl::Status status;
      switch (pick(5)) {
        case 0:
          status = co_flush_all(*tree.disk);
          break;
        case 1:
          status = co_read_block(*tree.disk, worker).status();
          break;
        case 2: {
          // Nothing below it is ever replaced: what was written is there.
          status = co_write_block(*shared_, kSharedBlock + worker, i + 1);
          const absl::StatusOr<uint64_t> read = co_read_block(*shared_, kSharedBlock + worker);
          status.Update(read.status());
          if (read.ok() && *read != i + 1) failures_.push_back("the shared node lost a write");
          break;
        }
        default:
          ++writes_;
          status = co_write_block(*tree.disk, worker, i + 1);
      }
      if (!status.ok()) failures_.push_back(std::string(status.message()));
      if (pick(4) == 0) co_reschedule_self(world_.context(pick(kContexts)));
    }
  }

  void co_drains() {
    assert_in_coroutine();
    for (unsigned round = 0; round < kCommands; ++round) {
      const std::string mark = std::to_string(pick(kTrees));
      const std::string name =
          pick_of({"base" + mark, "alt" + mark, "disk" + mark, "filter" + mark, "shared"});
      DrainedSection section(daemon_->graph);
      const absl::Status status = pick(6) == 0 ? section.co_begin_all() : section.co_begin({name});
      if (!status.ok()) {
        if (status_errno(status) != ENOENT) failures_.push_back(std::string(status.message()));
        continue;
      }
      // A node of that name may be another one by the end; the section is of this one.
      const bool lasting = name.front() != 'f';
      if (lasting) ++spies_.of(name).quiet;
      for (unsigned pauses = pick(6); pauses > 0; --pauses) co_pause();
      if (lasting) --spies_.of(name).quiet;
      section.co_end();
      co_pause();
    }
  }

  void co_compare() {
    assert_in_coroutine();
    assert_control_thread();
    size_t nodes = 1;  // the shared one
    uint64_t writes = 0;
    for (Tree& tree : trees_) {
      nodes += tree.nodes.size();
      for (const auto& [name, facts] : tree.nodes) compare(name, facts);
      for (const Backend* backend : {tree.disk.get(), tree.job.get()}) {
        if (backend == nullptr) continue;
        EXPECT_EQ(backend->root.node->name, tree.backends.at(backend->name));
        EXPECT_EQ(backend->gate.quiesce_depth(), 0);
      }
      writes += spies_.of(tree.name("base")).writes + spies_.of(tree.name("alt")).writes;
    }
    EXPECT_EQ(daemon_->graph.nodes().size(), nodes);
    EXPECT_EQ(writes, writes_);
    EXPECT_TRUE(daemon_->graph.changes().sections.empty());
    EXPECT_TRUE(daemon_->graph.changes().pins.empty());
    EXPECT_TRUE(daemon_->graph.changes().claims.empty());
    EXPECT_TRUE(daemon_->graph.changes().reserved_names.empty());
  }
  void compare(const std::string& name, const ModelNode& facts) GLOBAL_STATE_CODE {
    SCOPED_TRACE(name);
    const Node* node = daemon_->graph.find(name);
    ASSERT_NE(node, nullptr);
    EXPECT_EQ(node->driver_name, facts.driver);
    EXPECT_EQ(node->size(), facts.size);
    EXPECT_EQ(spies_.of(name).prepared, 0);
    EXPECT_EQ(spies_.of(name).drained, 0);
    const Child* file = node->find_child("file");
    EXPECT_EQ(file != nullptr ? file->node->name : "", facts.file);
    if (facts.driver == "spy" || name.front() == 'd') {
      const bool moved = node->home.get() != &world_.context(0);
      EXPECT_EQ(moved ? node->home->name() : "", facts.home);
    }
  }

  void co_tear_down() {
    assert_in_coroutine();
    assert_control_thread();
    // What is below must not refuse any more.
    for (const Tree& tree : trees_) {
      for (const char* what : {"alt", "base"}) misbehave(tree.name(what), false);
    }
    EXPECT_OK(daemon_->graph.co_detach_backend(*shared_));
    for (Tree& tree : trees_) {
      EXPECT_OK(daemon_->graph.co_detach_backend(*tree.disk));
      if (tree.job != nullptr) EXPECT_OK(daemon_->graph.co_detach_backend(*tree.job));
    }
    EXPECT_OK(daemon_->co_shut_down());
    EXPECT_TRUE(daemon_->graph.nodes().empty());
    daemon_.reset();
  }

  static constexpr uint64_t kFullSize = Spy::kBlocks * Spy::kBlockSize;
  static constexpr const char* kThreads[] = {"io0", "io1"};

  const uint64_t seed_;
  SpyWorld spies_;
  NoHost host_;
  FakeWorld world_;
  ControlThreadScope scope_;
  std::unique_ptr<Daemon> daemon_;
  std::array<Tree, kTrees> trees_;
  std::unique_ptr<Backend> shared_;
  int running_ = 0;
  uint64_t writes_ = 0;
  std::vector<std::string> failures_;
};

TEST(CommandExplorer, TheGraphIsWhatTheCommandsThatSucceededMadeIt) {
  explore_seeds(kDefaultSeeds,
                [](uint64_t seed) { std::make_unique<CommandExploration>(seed)->run(); });
}

}  // namespace
}  // namespace penstock
