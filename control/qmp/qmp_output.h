// SPDX-License-Identifier: Apache-2.0
// What waits to be sent to one client of the control socket.
//
// Ownership: the session owns it; the descriptor outlives co_write() and every put.
// Threads: the control thread; nothing here blocks it.
// Errors: a client that is gone, or that takes nothing, shows in is_open() and in the waits.
// Invariants: messages leave whole and in the order in which they were put. Beyond `limit` bytes
//   events are dropped, those that wait as well as those that come; replies never are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "base/thread_roles.h"
#include "iothreads/co_event.h"
#include "nlohmann/json.hpp"

namespace penstock {

class QmpOutput {
 public:
  // `pretty`: messages are laid out over several lines, for people.
  QmpOutput(int socket, size_t limit, bool pretty = false)
      : socket_(socket), limit_(limit), pretty_(pretty) {}

  void put_reply(const nlohmann::json& reply) GLOBAL_STATE_CODE;
  void put_event(const nlohmann::json& event) GLOBAL_STATE_CODE;

  // Sends until close() or until the client is gone. One coroutine of its own runs it.
  void co_write() CONTROL_COROUTINE_CODE;

  // Waits until no more than the limit waits to be sent; false if the client is gone or took
  // nothing for as long as `patience`.
  bool co_wait_for_room(Nanoseconds patience) CONTROL_COROUTINE_CODE;
  // The same until everything is sent.
  bool co_wait_until_sent(Nanoseconds patience) CONTROL_COROUTINE_CODE;

  // Ends co_write(). What waits is lost.
  void close() GLOBAL_STATE_CODE;
  bool is_open() const { return open_; }
  uint64_t dropped_events() const { return dropped_events_; }

 private:
  struct Message {
    std::string text;
    bool is_event;
  };

  std::string text_of(const nlohmann::json& message) const;
  void put(Message message) GLOBAL_STATE_CODE;
  void drop_waiting_events() GLOBAL_STATE_CODE;
  bool send_some() GLOBAL_STATE_CODE;
  bool co_wait_down_to(size_t bytes, Nanoseconds patience) CONTROL_COROUTINE_CODE;

  const int socket_;
  const size_t limit_;  // bytes
  const bool pretty_;
  std::deque<Message> messages_;
  size_t sent_of_first_ = 0;  // bytes
  size_t waiting_ = 0;        // bytes not yet sent
  uint64_t dropped_events_ = 0;
  bool open_ = true;
  CoEvent something_to_send_;
  CoEvent progress_;
};

}  // namespace penstock
