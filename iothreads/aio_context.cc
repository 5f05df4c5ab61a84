// SPDX-License-Identifier: Apache-2.0
#include "iothreads/aio_context.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/status.h"
#include "base/sync_point.h"
#include "iothreads/context_registry.h"
#include "iothreads/coroutine_impl.h"
#include "iothreads/coroutine_pool.h"
#include "iothreads/fatal.h"
#include "iothreads/loop_driver.h"

namespace penstock {
namespace {

constexpr Nanoseconds kFirstSpin{4'000};
constexpr Nanoseconds kShortestSpin{1'000};
// Turns that a stopping loop still gives to what was queued when it stopped.
constexpr int kLastTurns = 64;

thread_local AioContext* current_context = nullptr;

// Out of line, so that the address of the thread-local is never kept over a yield.
[[gnu::noinline]] void set_current_context(AioContext* context) {
  current_context = context;
  asm volatile("" ::: "memory");
}

// One thread writes, so an addition need not be atomic.
void count(std::atomic<uint64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

Nanoseconds real_time() { return std::chrono::steady_clock::now().time_since_epoch(); }

inline void relax_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void refuse_nested_loop() {
  if (AioContext::current() != nullptr) {
    fatal("an event loop runs inside another", AioContext::current()->name());
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<AioContext>> AioContext::create(std::string name) {
  auto context = ContextRegistry::instance().make_context(name);
  if (context != nullptr) return context;
  return errno_message(EAGAIN, "cannot create the thread context \"" + name + "\": there are " +
                                   std::to_string(kMaxContexts) + "; use fewer iothreads");
}

AioContext::AioContext(std::string name, unsigned slot) : name_(std::move(name)), slot_(slot) {}

AioContext::~AioContext() {
  ContextRegistry::instance().remove(*this);
  // Whoever scheduled the last coroutine here may not yet have returned from doing so.
  while (entering_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

[[gnu::noinline]] AioContext* AioContext::current() {
  asm volatile("" ::: "memory");
  return current_context;
}

std::vector<std::shared_ptr<AioContext>> AioContext::all() {
  return ContextRegistry::instance().listed();
}

void AioContext::attach_poller(std::unique_ptr<Poller> poller) {
  poller_ = std::move(poller);
  ContextRegistry::instance().list(*this);
}

void AioContext::schedule(Coroutine* coroutine) {
  auto* const impl = static_cast<CoroutineImpl*>(coroutine);
#if defined(PENSTOCK_DEBUG_CHECKS)
  if (impl->context() != this) {
    fatal("a coroutine is scheduled on a context that is not its own", impl->name());
  }
#endif
  if (current() == this) {
    append_ready(impl);
  } else {
    push_remote(impl);
  }
}

void AioContext::spawn(const char* name, Coroutine::Entry entry) {
  CoroutineImpl* const coroutine = take_pooled_coroutine();
  coroutine->prepare(name, std::move(entry), this);
  schedule(coroutine);
}

void AioContext::append_ready(CoroutineImpl* coroutine) {
  coroutine->next = nullptr;
  if (ready_tail_ == nullptr) {
    ready_head_ = coroutine;
  } else {
    ready_tail_->next = coroutine;
  }
  ready_tail_ = coroutine;
}

// Dekker's order with sleep(): the push comes before the look at sleeping_, and there the store of
// sleeping_ comes before the look at the queue. One of the two sees the other.
void AioContext::push_remote(CoroutineImpl* coroutine) {
  entering_.fetch_add(1, std::memory_order_relaxed);
  CoroutineImpl* head = remote_head_.load(std::memory_order_relaxed);
  do {
    coroutine->next = head;
  } while (!remote_head_.compare_exchange_weak(head, coroutine, std::memory_order_seq_cst,
                                               std::memory_order_relaxed));
  PENSTOCK_SYNC_POINT("aio_context:pushed");
  wake_if_sleeping();
  entering_.fetch_sub(1, std::memory_order_release);
}

void AioContext::wake_if_sleeping() {
  if (sleeping_.load(std::memory_order_seq_cst) &&
      sleeping_.exchange(false, std::memory_order_seq_cst)) {
    poller_->wake();
  }
}

void AioContext::stop() {
  entering_.fetch_add(1, std::memory_order_relaxed);
  stop_.store(true, std::memory_order_seq_cst);
  wake_if_sleeping();
  entering_.fetch_sub(1, std::memory_order_release);
}

void AioContext::run() {
  refuse_nested_loop();
  set_current_context(this);
  quiet_.exchange(false, std::memory_order_acq_rel);
  ContextRegistry::instance().list(*this);
  while (!stop_.load(std::memory_order_acquire)) {
    if (turn_once() || spin()) continue;
    sleep(/*heed_stop=*/true);
  }
  // From here on nobody new visits; who is queued already gets its turn.
  ContextRegistry::instance().unlist(*this);
  for (int i = 0; i < kLastTurns; ++i) {
    const bool taken = take_remote_work();
    if (!run_ready() && !taken) break;
  }
  stop_.store(false, std::memory_order_relaxed);
  quiet_.exchange(true, std::memory_order_acq_rel);
  set_current_context(nullptr);
}

void LoopDriver::turn_until(AioContext& context, const bool& done) {
  refuse_nested_loop();
  set_current_context(&context);
  context.quiet_.exchange(false, std::memory_order_acq_rel);
  while (!done) {
    if (context.turn_once() || context.spin()) continue;
    context.sleep(/*heed_stop=*/false);
  }
  context.quiet_.exchange(true, std::memory_order_acq_rel);
  set_current_context(nullptr);
}

bool AioContext::turn() {
  refuse_nested_loop();
  set_current_context(this);
  quiet_.exchange(false, std::memory_order_acq_rel);
  const bool worked = turn_once();
  quiet_.exchange(true, std::memory_order_acq_rel);
  set_current_context(nullptr);
  return worked;
}

bool AioContext::turn_once() {
  count(statistics_.turns);
  const bool found = look_for_work();
  const bool ran = run_ready();
  return found || ran;
}

// Everything that can make a coroutine ready, without running one.
bool AioContext::look_for_work() {
  bool found = take_remote_work();
  found |= poll_sources();
  found |= complete_operations();
  found |= fire_timers();
  return found;
}

bool AioContext::take_remote_work() {
  if (remote_head_.load(std::memory_order_relaxed) == nullptr) return false;
  CoroutineImpl* newest = remote_head_.exchange(nullptr, std::memory_order_acquire);
  CoroutineImpl* oldest = nullptr;
  while (newest != nullptr) {
    CoroutineImpl* const older = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = older;
  }
  while (oldest != nullptr) {
    CoroutineImpl* const newer = oldest->next;
    append_ready(oldest);
    oldest = newer;
  }
  return true;
}

bool AioContext::poll_sources() {
  bool found = false;
  for (size_t i = 0; i < poll_sources_.size(); ++i) found |= poll_sources_[i]->poll();
  return found;
}

bool AioContext::complete_operations() {
  poller_->flush();
  IoOperation* operation = poller_->reap();
  if (operation == nullptr) return false;
  while (operation != nullptr) {
    IoOperation* const next = operation->next;  // the operation may be gone once completed
    operation->complete(operation);
    operation = next;
  }
  return true;
}

bool AioContext::fire_timers() { return !timers_.empty() && timers_.fire_due(now()); }

// Runs what is ready now; what becomes ready meanwhile waits for the next turn.
bool AioContext::run_ready() {
  CoroutineImpl* coroutine = std::exchange(ready_head_, nullptr);
  ready_tail_ = nullptr;
  if (coroutine == nullptr) return false;
  while (coroutine != nullptr) {
    CoroutineImpl* const next = coroutine->next;
    run_coroutine(coroutine);
    coroutine = next;
  }
  return true;
}

void AioContext::run_coroutine(CoroutineImpl* coroutine) {
  using Request = CoroutineImpl::Request;
  set_running_coroutine(coroutine);
  coroutine->enter();
  set_running_coroutine(nullptr);
  // Only this loop can resume the coroutine, so it is still ours to look at.
  switch (std::exchange(coroutine->request, Request::kNone)) {
    case Request::kNone:
      return;
    case Request::kEnded:
      give_pooled_coroutine(coroutine);
      return;
    case Request::kMove: {
      AioContext* const target = coroutine->move_target;
      coroutine->set_context(target);
      target->schedule(coroutine);
      return;
    }
    case Request::kVisit:
      coroutine->visited = true;  // before the other loop can run it
      if (!ContextRegistry::instance().try_visit(coroutine, coroutine->visit_slot)) {
        coroutine->visited = false;
        append_ready(coroutine);
      }
      return;
  }
}

bool AioContext::spin() {
  if (spin_ == Nanoseconds::zero()) return false;
  count(statistics_.spins);
  const Nanoseconds end = real_time() + spin_;
  do {
    if (look_for_work()) {
      count(statistics_.spins_paid);
      adapt_spin(/*paid=*/true);
      return true;
    }
    relax_cpu();
  } while (real_time() < end);
  adapt_spin(/*paid=*/false);
  return false;
}

void AioContext::adapt_spin(bool paid) {
  if (paid) {
    spin_ = std::min(max_spin_, std::max(kFirstSpin, spin_ * 2));
  } else {
    spin_ = spin_ / 2 < kShortestSpin ? Nanoseconds::zero() : spin_ / 2;
  }
}

void AioContext::sleep(bool heed_stop) {
  sleeping_.exchange(true, std::memory_order_seq_cst);
  PENSTOCK_SYNC_POINT("aio_context:sleeping");
  bool idle = remote_head_.load(std::memory_order_seq_cst) == nullptr &&
              !(heed_stop && stop_.load(std::memory_order_seq_cst));
  // Every source is armed or asked, even if an earlier one has found work.
  for (PollSource* const source : poll_sources_) idle = source->prepare_to_sleep() && idle;
  idle = idle && ready_head_ == nullptr && poller_->may_sleep();
  if (!idle) {
    sleeping_.exchange(false, std::memory_order_seq_cst);
    return;
  }

  Nanoseconds timeout{-1};
  if (const auto deadline = timers_.next_deadline()) {
    timeout = std::max(Nanoseconds::zero(), *deadline - now());
  }
  count(statistics_.sleeps);
  const Nanoseconds begin = real_time();
  quiet_.exchange(true, std::memory_order_acq_rel);
  poller_->wait(timeout);
  quiet_.exchange(false, std::memory_order_acq_rel);
  if (!sleeping_.exchange(false, std::memory_order_seq_cst)) count(statistics_.remote_wakeups);
  // A spin would have met what ended so short a sleep. Waking alone takes about as long as the
  // longest spin, hence twice.
  if (spin_ == Nanoseconds::zero() && real_time() - begin < 2 * max_spin_) {
    spin_ = std::min(max_spin_, kFirstSpin);
  }
}

void AioContext::set_max_spin(Nanoseconds limit) {
  max_spin_ = limit;
  spin_ = std::min(spin_, limit);
}

void AioContext::add_poll_source(PollSource* source) { poll_sources_.push_back(source); }

void AioContext::remove_poll_source(PollSource* source) { std::erase(poll_sources_, source); }

int32_t co_perform(IoOperation& operation) {
  Coroutine* const self = Coroutine::self();
  operation.owner = self;
  operation.complete = [](IoOperation* done) {
    auto* const waiting = static_cast<Coroutine*>(done->owner);
    waiting->context()->schedule(waiting);
  };
  self->context()->submit(&operation);
  co_yield_self();
  return operation.result;
}

void co_pass_all_contexts() {
  auto* const self = static_cast<CoroutineImpl*>(Coroutine::self());
  AioContext* const home = self->context();
  ContextRegistry& registry = ContextRegistry::instance();
  auto busy = registry.next_busy_slot(0);
  while (busy.has_value()) {
    if (*busy == home->slot()) {
      busy = registry.next_busy_slot(*busy + 1);
      continue;
    }
    self->request = CoroutineImpl::Request::kVisit;
    self->visit_slot = *busy;
    co_yield_self();
    // A context that refused is about to end its loop: ask again until it is quiet.
    busy = registry.next_busy_slot(self->visited ? *busy + 1 : *busy);
  }
  if (self->context() == home) {
    co_pause();
  } else {
    co_reschedule_self(*home);
  }
}

}  // namespace penstock
