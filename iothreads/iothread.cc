// SPDX-License-Identifier: Apache-2.0
#include "iothreads/iothread.h"

#include <unistd.h>

#include <utility>

#include "iothreads/start_thread.h"
#include "iothreads/thread_condition.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

// What the new thread tells the starter: the cause of a fallback, or why it has no poller.
class Start {
 public:
  void answer(absl::StatusOr<std::string> cause) {
    const ThreadLock lock(mutex_);
    cause_ = std::move(cause);
    condition_.notify_one();
  }
  absl::StatusOr<std::string> wait() {
    const ThreadLock lock(mutex_);
    while (!cause_.has_value()) condition_.wait(mutex_);
    return *std::move(cause_);
  }

 private:
  ThreadMutex mutex_{"IoThread start"};
  ThreadCondition condition_;
  std::optional<absl::StatusOr<std::string>> cause_ GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<IoThread>> IoThread::start(std::string name, Engine engine) {
  auto context = AioContext::create(name);
  if (!context.ok()) return context.status();
  std::unique_ptr<IoThread> iothread(new IoThread);
  iothread->context_ = *std::move(context);

  Start start;
  pid_t thread_id = 0;
  auto thread = start_thread(name, [engine, &start, &thread_id, loop = iothread->context_] {
    thread_id = ::gettid();  // read after wait()
    auto choice = make_poller(engine);
    if (!choice.ok()) {
      start.answer(choice.status());
      return;
    }
    loop->attach_poller(std::move(choice->poller));
    start.answer(std::move(choice->cause));
    loop->run();
  });
  if (!thread.ok()) return thread.status();
  iothread->thread_ = *std::move(thread);

  auto cause = start.wait();
  if (!cause.ok()) {
    iothread->thread_.join();
    return cause.status();
  }
  iothread->thread_id_ = thread_id;
  iothread->fallback_cause_ = *std::move(cause);
  return iothread;
}

IoThread::~IoThread() {
  if (!thread_.joinable()) return;
  context_->stop();
  thread_.join();
}

}  // namespace penstock
