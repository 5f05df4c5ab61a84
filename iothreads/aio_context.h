// SPDX-License-Identifier: Apache-2.0
// One thread's event loop: a poller, ready coroutines, work from other threads, timers.
//
// Ownership: shared; whoever may still schedule on it holds a reference. A context is destroyed
//   after its loop has ended.
// Threads: the "own thread" is the one that calls run() or turn(). Functions are marked "any
//   thread" where they may be called elsewhere.
// Errors: none; operations report through their results.
// Invariants: coroutines are resumed by the loop only, one at a time, first in first out. No event
//   loop runs inside another. slot() is unique among live contexts and below kMaxContexts.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "iothreads/coroutine.h"
#include "iothreads/poller.h"
#include "iothreads/timer_queue.h"

namespace penstock {

inline constexpr unsigned kMaxContexts = 64;

// A source of work that is cheaper to look at than to wait for: /dev/fuse, for example.
class PollSource {
 public:
  virtual ~PollSource() = default;
  // Takes what is there without waiting; true if there was something. Called in each turn of the
  // loop and while it spins.
  virtual bool poll() = 0;
  // The loop is about to sleep: arm whatever ends the sleep when work comes. Answers false if
  // work came meanwhile.
  virtual bool prepare_to_sleep() = 0;
};

class AioContext : public std::enable_shared_from_this<AioContext> {
 public:
  // EAGAIN if kMaxContexts are alive.
  static absl::StatusOr<std::shared_ptr<AioContext>> create(std::string name);
  AioContext(const AioContext&) = delete;
  AioContext& operator=(const AioContext&) = delete;
  ~AioContext();

  // The context whose loop runs on this thread, or nullptr. Do not keep it over a yield.
  static AioContext* current();
  // All contexts alive now, for a walk over every one of them.
  static std::vector<std::shared_ptr<AioContext>> all();

  const std::string& name() const { return name_; }
  unsigned slot() const { return slot_; }

  // Any thread: makes a coroutine ready here. It must be this context's (it yielded here, or moves
  // here by co_reschedule_self).
  void schedule(Coroutine* coroutine);
  // Any thread: a new coroutine that starts here. `name` is a literal.
  void spawn(const char* name, Coroutine::Entry entry);

  // The own thread: runs until stop(). The poller must have been attached on the same thread.
  void run();
  // Any thread: run() returns after the turn in which it sees this. Work still queued stays queued.
  void stop();
  // The own thread: one turn without sleeping; true if anything ran. Tests and the fake use it.
  bool turn();
  // The own thread, before the first turn: gives the loop its poller.
  void attach_poller(std::unique_ptr<Poller> poller);
  Poller& poller() { return *poller_; }

  // The own thread:
  void submit(IoOperation* operation) { poller_->submit(operation); }
  TimerQueue& timers() { return timers_; }
  Nanoseconds now() const { return poller_->now(); }
  void add_poll_source(PollSource* source);
  void remove_poll_source(PollSource* source);
  // Longest spin before sleep; 0 turns spinning off. The default adapts between 0 and 50 us.
  void set_max_spin(Nanoseconds limit);

  struct Statistics {  // own thread writes, any thread reads
    std::atomic<uint64_t> turns{0};
    std::atomic<uint64_t> sleeps{0};
    std::atomic<uint64_t> spins{0};
    std::atomic<uint64_t> spins_paid{0};
    std::atomic<uint64_t> remote_wakeups{0};
  };
  const Statistics& statistics() const { return statistics_; }

 private:
  friend class ContextRegistry;
  friend class LoopDriver;
  AioContext(std::string name, unsigned slot);
  bool turn_once();
  bool take_remote_work();
  bool run_ready();
  void run_coroutine(class CoroutineImpl* coroutine);
  bool complete_operations();
  bool poll_sources();
  bool fire_timers();
  bool look_for_work();
  bool spin();
  void adapt_spin(bool paid);
  void sleep(bool heed_stop);
  void append_ready(class CoroutineImpl* coroutine);
  void push_remote(class CoroutineImpl* coroutine);
  void wake_if_sleeping();

  // Constant after construction.
  const std::string name_;
  const unsigned slot_;

  // The own thread's.
  std::unique_ptr<Poller> poller_;
  TimerQueue timers_;
  std::vector<PollSource*> poll_sources_;
  class CoroutineImpl* ready_head_ = nullptr;
  class CoroutineImpl* ready_tail_ = nullptr;
  Nanoseconds max_spin_{50'000};
  Nanoseconds spin_{0};
  Statistics statistics_;

  // Any thread's: a lock-free stack of coroutines, newest first, and the sleeper's flag.
  alignas(64) std::atomic<class CoroutineImpl*> remote_head_{nullptr};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> stop_{false};
  // Threads inside push_remote() or stop(); the destructor waits for them.
  std::atomic<unsigned> entering_{0};
  // True while no turn is under way: nothing that ran here still runs. See co_pass_all_contexts().
  std::atomic<bool> quiet_{true};
};

// Runs the operation on the current context and yields until it has completed. Returns its result.
int32_t co_perform(IoOperation& operation) COROUTINE_CODE;

// Visits each live context once, so that whatever ran there when this was called has since left the
// loop's turn. Storage that was reachable before may be freed after it returns. Comes back to the
// context where it was called.
void co_pass_all_contexts() COROUTINE_CODE;

}  // namespace penstock
