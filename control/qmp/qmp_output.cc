// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_output.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "iothreads/aio_context.h"

namespace penstock {
namespace {

constexpr int kOneLine = -1;
constexpr int kIndent = 4;  // QEMU's

}  // namespace

// ASCII only, as QEMU sends it: file names with other bytes survive any client.
std::string QmpOutput::text_of(const nlohmann::json& message) const {
  return message.dump(pretty_ ? kIndent : kOneLine, ' ', /*ensure_ascii=*/true,
                      nlohmann::json::error_handler_t::replace) +
         "\r\n";
}

void QmpOutput::put_reply(const nlohmann::json& reply) {
  if (!open_) return;
  std::string line = text_of(reply);
  if (waiting_ + line.size() > limit_) drop_waiting_events();
  put({std::move(line), /*is_event=*/false});
}

void QmpOutput::put_event(const nlohmann::json& event) {
  if (!open_) return;
  std::string line = text_of(event);
  if (waiting_ + line.size() > limit_) {
    ++dropped_events_;
    return;
  }
  put({std::move(line), /*is_event=*/true});
}

void QmpOutput::put(Message message) {
  waiting_ += message.text.size();
  messages_.push_back(std::move(message));
  something_to_send_.set();
}

void QmpOutput::drop_waiting_events() {
  std::deque<Message> kept;
  for (Message& message : messages_) {
    // The first one may be on its way.
    if (message.is_event && &message != &messages_.front()) {
      waiting_ -= message.text.size();
      ++dropped_events_;
    } else {
      kept.push_back(std::move(message));
    }
  }
  messages_ = std::move(kept);
}

void QmpOutput::co_write() {
  while (open_) {
    if (messages_.empty()) {
      something_to_send_.co_wait();
      something_to_send_.reset();
      continue;
    }
    if (send_some()) continue;
    if (!open_) break;
    IoOperation writable;
    writable.opcode = IoOpcode::kPoll;
    writable.fd = socket_;
    writable.mode = POLLOUT;
    if (co_perform(writable) < 0) close();
  }
}

// False if the socket takes no more now, or the client is gone.
bool QmpOutput::send_some() {
  const Message& first = messages_.front();
  const ssize_t count = ::send(socket_, first.text.data() + sent_of_first_,
                               first.text.size() - sent_of_first_, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (count < 0) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN) close();
    return false;
  }
  sent_of_first_ += static_cast<size_t>(count);
  waiting_ -= static_cast<size_t>(count);
  if (sent_of_first_ == first.text.size()) {
    messages_.pop_front();
    sent_of_first_ = 0;
  }
  progress_.set();
  return true;
}

bool QmpOutput::co_wait_for_room(Nanoseconds patience) { return co_wait_down_to(limit_, patience); }

bool QmpOutput::co_wait_until_sent(Nanoseconds patience) { return co_wait_down_to(0, patience); }

bool QmpOutput::co_wait_down_to(size_t bytes, Nanoseconds patience) {
  while (open_ && waiting_ > bytes) {
    progress_.reset();
    if (!progress_.co_wait_until(AioContext::current()->now() + patience)) return false;
  }
  return open_;
}

void QmpOutput::close() {
  open_ = false;
  messages_.clear();
  sent_of_first_ = 0;
  waiting_ = 0;
  something_to_send_.set();
  progress_.set();
}

}  // namespace penstock
