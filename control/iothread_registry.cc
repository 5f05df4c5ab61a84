// SPDX-License-Identifier: Apache-2.0
#include "control/iothread_registry.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/status.h"
#include "control/log.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

constexpr unsigned kMaxDefaultThreads = 4;

unsigned default_thread_count() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  const int count = ::sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
  return std::clamp(static_cast<unsigned>(count), 1u, kMaxDefaultThreads);
}

std::string listed(const std::vector<std::string>& names) {
  std::string result;
  for (const std::string& name : names) result += (result.empty() ? "" : ", ") + name;
  return result;
}

absl::Status is_starting(const std::string& id) {
  return errno_message(EBUSY, "The iothread '" + id + "' is still being started: try again then.");
}

absl::Status is_being_removed(const std::string& id) {
  return errno_message(EBUSY, "The iothread '" + id + "' is being removed: name another.");
}

}  // namespace

struct IoThreadRegistry::Entry {
  std::unique_ptr<IoThread> thread;  // nullptr while it starts
  std::vector<std::string> users;    // in the order in which they came
  bool closing = false;              // to new users
  Nanoseconds poll_max;
};

IoThreadRegistry::Use::Use(IoThreadRegistry& registry, std::string id, std::string user)
    : registry_(&registry),
      id_(std::move(id)),
      user_(std::move(user)),
      context_(registry.add_user(id_, user_)) {}

IoThreadRegistry::Use::Use(Use&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)),
      id_(std::move(other.id_)),
      user_(std::move(other.user_)),
      context_(std::move(other.context_)) {}

IoThreadRegistry::Use::~Use() {
  context_.reset();
  if (registry_ != nullptr) registry_->remove_user(id_, user_);
}

IoThreadRegistry::IoThreadRegistry(Engine engine) : engine_(engine) {}

IoThreadRegistry::~IoThreadRegistry() = default;

absl::Status IoThreadRegistry::co_add(const std::string& id, Nanoseconds poll_max) {
  if (has(id)) {
    return errno_message(EEXIST,
                         "There is an iothread called '" + id + "' already. Choose another id.");
  }
  const bool is_first = threads_.empty();
  Entry& entry = *(threads_[id] = std::make_unique<Entry>());
  entry.poll_max = poll_max;
  absl::StatusOr<std::unique_ptr<IoThread>> started =
      ThreadPool::shared().co_run([&] { return IoThread::start(id, engine_); });
  if (!started.ok()) {
    threads_.erase(id);
    return annotate(started.status(), "starting iothread '" + id + "'");
  }
  entry.thread = *std::move(started);
  if (is_first && !entry.thread->fallback_cause().empty()) {
    log_line(LogLevel::kInfo, "using threads: " + entry.thread->fallback_cause());
  }
  if (poll_max != kDefaultPollMax) {
    entry.thread->context().spawn("set the polling",
                                  [poll_max] { AioContext::current()->set_max_spin(poll_max); });
  }
  return absl::OkStatus();
}

absl::Status IoThreadRegistry::co_remove(const std::string& id) {
  const auto found = threads_.find(id);
  if (found == threads_.end()) {
    return errno_message(ENOENT, "There is no iothread called '" + id + "'.");
  }
  if (found->second->thread == nullptr) return is_starting(id);
  if (found->second->closing) return is_being_removed(id);
  const std::vector<std::string>& users = found->second->users;
  if (!users.empty()) {
    return errno_message(EBUSY, "The iothread '" + id + "' is in use by " + listed(users) +
                                    ". Remove or move those first.");
  }
  std::unique_ptr<Entry> entry = std::move(found->second);
  threads_.erase(found);
  ThreadPool::shared().co_run([&] { entry->thread.reset(); });
  return absl::OkStatus();
}

absl::StatusOr<IoThreadRegistry::Use> IoThreadRegistry::use(const std::string& id,
                                                            const std::string& user) {
  if (!has(id)) {
    return errno_message(ENOENT, "There is no iothread called '" + id +
                                     "'. Add it first, with object-add and qom-type 'iothread'.");
  }
  if (threads_.at(id)->thread == nullptr) return is_starting(id);
  if (threads_.at(id)->closing) return is_being_removed(id);
  return Use(*this, id, user);
}

IoThreadRegistry::Closing::~Closing() {
  const auto found = registry_.threads_.find(id_);
  if (found != registry_.threads_.end()) found->second->closing = false;
}

absl::StatusOr<std::unique_ptr<IoThreadRegistry::Closing>> IoThreadRegistry::close_to_new_users(
    const std::string& id) {
  const auto found = threads_.find(id);
  if (found == threads_.end()) {
    return errno_message(ENOENT, "There is no iothread called '" + id + "'.");
  }
  Entry& entry = *found->second;
  if (entry.thread == nullptr) return is_starting(id);
  if (entry.closing) return is_being_removed(id);
  entry.closing = true;
  return std::unique_ptr<Closing>(new Closing(*this, id));
}

const AioContext* IoThreadRegistry::context_of(const std::string& id) const {
  const auto found = threads_.find(id);
  const bool runs = found != threads_.end() && found->second->thread != nullptr;
  return runs ? &found->second->thread->context() : nullptr;
}

std::vector<std::string> IoThreadRegistry::users_of(const std::string& id) const {
  const auto found = threads_.find(id);
  return found == threads_.end() ? std::vector<std::string>() : found->second->users;
}

bool IoThreadRegistry::co_wait_for_leave(Nanoseconds deadline) {
  user_left_.reset();
  return user_left_.co_wait_until(deadline);
}

absl::StatusOr<std::vector<IoThreadRegistry::Use>> IoThreadRegistry::co_use_defaults(
    const std::string& user) {
  std::vector<Use> uses;
  // Others who come meanwhile find all threads started.
  const CoMutexLock lock(starting_defaults_);
  for (unsigned i = 0; i < default_thread_count(); ++i) {
    const std::string id = "#iothread" + std::to_string(i);
    if (!has(id)) {
      const absl::Status added = co_add(id);
      // One thread serves as well as four.
      if (!added.ok() && !uses.empty()) break;
      if (!added.ok()) return added;
    }
    uses.emplace_back(*this, id, user);
  }
  return uses;
}

std::vector<IoThreadRegistry::Facts> IoThreadRegistry::list() const {
  std::vector<Facts> result;
  for (const auto& [id, entry] : threads_) {
    if (entry->thread == nullptr) continue;
    const IoThread& thread = *entry->thread;
    result.push_back({id, thread.thread_id(), entry->users, entry->poll_max,
                      thread.context().poller().name(), thread.fallback_cause()});
  }
  return result;
}

std::shared_ptr<AioContext> IoThreadRegistry::add_user(const std::string& id,
                                                       const std::string& user) {
  Entry& entry = *threads_.at(id);
  entry.users.push_back(user);
  return entry.thread->share_context();
}

void IoThreadRegistry::remove_user(const std::string& id, const std::string& user) {
  std::vector<std::string>& users = threads_.at(id)->users;
  users.erase(std::find(users.begin(), users.end(), user));
  user_left_.set();
}

}  // namespace penstock
