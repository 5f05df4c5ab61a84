// SPDX-License-Identifier: Apache-2.0
// The IoThreads of the daemon, by their ids.
//
// Ownership: owns the threads. Users keep the context that they got from find() no longer than
//   their Use lives.
// Threads: the control thread.
// Errors: EEXIST, ENOENT; EBUSY for a thread in use, with its users named; those of starting one.
// Invariants: a thread with users is never ended. The default threads' ids start with '#', which no
//   user's id does; they start on first need and stay.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "iothreads/co_event.h"
#include "iothreads/co_mutex.h"
#include "iothreads/iothread.h"

namespace penstock {

class IoThreadRegistry {
 public:
  // Longest spin before sleep, unless the user says another.
  static constexpr Nanoseconds kDefaultPollMax{50'000};

  explicit IoThreadRegistry(Engine engine);
  IoThreadRegistry(const IoThreadRegistry&) = delete;
  IoThreadRegistry& operator=(const IoThreadRegistry&) = delete;
  ~IoThreadRegistry();  // REQUIRES: no thread has users

  // A named user of one thread, for as long as this lives.
  class Use {
   public:
    // REQUIRES: the thread is there.
    Use(IoThreadRegistry& registry, std::string id, std::string user);
    Use(Use&& other) noexcept;
    Use& operator=(Use&&) = delete;
    ~Use();
    const std::string& id() const { return id_; }
    const std::shared_ptr<AioContext>& context() const { return context_; }

   private:
    IoThreadRegistry* registry_;
    std::string id_;
    std::string user_;
    std::shared_ptr<AioContext> context_;
  };

  // Starting a thread waits for it, ending one too: both happen on the thread pool.
  absl::Status co_add(const std::string& id,
                      Nanoseconds poll_max = kDefaultPollMax) CONTROL_COROUTINE_CODE;
  // REQUIRES: nothing runs there that is not counted as a use.
  absl::Status co_remove(const std::string& id) CONTROL_COROUTINE_CODE;
  // While this lives nobody new may use the thread: EBUSY.
  class Closing {
   public:
    ~Closing();
    Closing(const Closing&) = delete;
    Closing& operator=(const Closing&) = delete;

   private:
    friend class IoThreadRegistry;
    Closing(IoThreadRegistry& registry, std::string id) : registry_(registry), id_(std::move(id)) {}
    IoThreadRegistry& registry_;
    const std::string id_;
  };
  // ENOENT; EBUSY if it is being closed already, or started.
  absl::StatusOr<std::unique_ptr<Closing>> close_to_new_users(const std::string& id)
      GLOBAL_STATE_CODE;
  // nullptr if there is no such thread. For comparisons.
  const AioContext* context_of(const std::string& id) const GLOBAL_STATE_CODE;
  std::vector<std::string> users_of(const std::string& id) const GLOBAL_STATE_CODE;
  // Until some thread loses a user; false if the deadline came first (AioContext::now()).
  bool co_wait_for_leave(Nanoseconds deadline) CONTROL_COROUTINE_CODE;

  // `user` is for messages: "export 'x'".
  absl::StatusOr<Use> use(const std::string& id, const std::string& user) GLOBAL_STATE_CODE;
  // All default threads, for users that named none: one for each CPU, at most four.
  absl::StatusOr<std::vector<Use>> co_use_defaults(const std::string& user) CONTROL_COROUTINE_CODE;
  bool has(const std::string& id) const GLOBAL_STATE_CODE { return threads_.count(id) != 0; }

  struct Facts {
    std::string id;
    pid_t thread_id;
    std::vector<std::string> users;
    Nanoseconds poll_max;
    const char* engine;          // "io_uring", "epoll"
    std::string fallback_cause;  // why not io_uring, if so
  };
  std::vector<Facts> list() const GLOBAL_STATE_CODE;
  bool empty() const { return threads_.empty(); }

 private:
  struct Entry;
  std::shared_ptr<AioContext> add_user(const std::string& id, const std::string& user);
  void remove_user(const std::string& id, const std::string& user);

  const Engine engine_;
  CoMutex starting_defaults_;
  CoEvent user_left_;  // since somebody began to wait for it
  std::map<std::string, std::unique_ptr<Entry>> threads_;
};

}  // namespace penstock
