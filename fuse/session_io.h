// SPDX-License-Identifier: Apache-2.0
// The seam between the operations and a transport: a request as it was taken, and where its reply
// goes. The transports are /dev/fuse (dev_queue.h) and, on kernels that have it, io_uring.
//
// Ownership: a transport's queue owns its slots and lends one for each request, from the moment it
//   is taken until finish().
// Threads: reply() in the coroutine that serves the request, on any context; finish() on the
//   queue's own context.
// Errors: a reply that the kernel no longer wants (interrupted, aborted, unmounted) is dropped.
// Invariants: each request is replied to at most once, and finished exactly once, after the reply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fuse/request_decoder.h"
#include "iothreads/aio_context.h"

namespace penstock {

class Session;
class SessionQueue;

struct RequestSlot {
  FuseRequest request;
  Session* session = nullptr;
  SessionQueue* queue = nullptr;
  // Page-aligned memory of kMaxTransfer bytes and more: the data of a write, the room for a read's.
  std::span<std::byte> payload;
  // How much of the payload has been touched since it was last given back to the system, in bytes.
  size_t payload_touched = 0;
  RequestSlot* next = nullptr;  // the queue's own
};

class SessionQueue {
 public:
  virtual ~SessionQueue() = default;

  // The context that the queue's requests start on.
  virtual AioContext& context() = 0;
  // Answers with `error` (a positive errno, and no body) or, if it is 0, with `body`.
  virtual void reply(RequestSlot& slot, int error, std::span<const std::byte> body) = 0;
  // The request is over: the slot may be used for another one.
  virtual void finish(RequestSlot& slot) = 0;
};

inline void reply_error(RequestSlot& slot, int error) { slot.queue->reply(slot, error, {}); }
inline void reply_ok(RequestSlot& slot) { slot.queue->reply(slot, 0, {}); }

// Answers with one of the protocol's structs.
template <typename T>
void reply_with(RequestSlot& slot, const T& body) {
  slot.queue->reply(slot, 0, std::as_bytes(std::span<const T, 1>(&body, 1)));
}

}  // namespace penstock
