// SPDX-License-Identifier: Apache-2.0
#include "iothreads/fake_world.h"

#include <algorithm>
#include <optional>

#include "base/status.h"
#include "iothreads/fake_poller.h"
#include "iothreads/fatal.h"

namespace penstock {

FakeWorld::FakeWorld(unsigned contexts, uint64_t seed) : random_(seed) {
  for (unsigned i = 0; i < contexts; ++i) {
    auto context = AioContext::create("fake" + std::to_string(i));
    if (!context.ok()) fatal(status_text(context.status()));
    auto poller = std::make_unique<FakePoller>(*this);
    pollers_.push_back(poller.get());
    (*context)->attach_poller(std::move(poller));
    contexts_.push_back(*std::move(context));
  }
}

FakeWorld::~FakeWorld() = default;

bool FakeWorld::step_context(unsigned index) { return contexts_[index]->turn(); }

bool FakeWorld::step() {
  const unsigned first = static_cast<unsigned>(random_() % size());
  for (unsigned i = 0; i < size(); ++i) {
    if (step_context((first + i) % size())) return true;
  }
  // Nobody moved, maybe because completions were held back.
  for (unsigned i = 0; i < size(); ++i) {
    const unsigned index = (first + i) % size();
    pollers_[index]->deliver_all();
    if (step_context(index)) return true;
  }
  std::optional<Nanoseconds> next;
  for (const auto& context : contexts_) {
    const auto deadline = context->timers().next_deadline();
    if (deadline.has_value()) next = next.has_value() ? std::min(*next, *deadline) : *deadline;
  }
  if (!next.has_value()) return false;
  now_ = std::max(now_, *next);
  return true;
}

bool FakeWorld::run_until(const std::function<bool()>& done, uint64_t max_steps) {
  for (uint64_t steps = 0; !done(); ++steps) {
    if (steps == max_steps || !step()) return false;
  }
  return true;
}

}  // namespace penstock
