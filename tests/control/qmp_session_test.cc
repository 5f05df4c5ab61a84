// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_session.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "iothreads/co_sleep.h"
#include "tests/control/qmp_fixture.h"

namespace penstock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;

class QmpSessionTest : public QmpFixture {
 protected:
  ~QmpSessionTest() override { wait_for_end(); }

  QmpPeer connect(QmpSession::Limits limits = {}) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    session_ = std::make_shared<QmpSession>(UniqueFd(ends[0]), dispatch_, "the test", limits);
    open_.push_back(std::make_unique<CoEvent>());
    control_->context().spawn("session", [session = session_, ended = open_.back().get()] {
      assert_in_coroutine();
      assert_control_thread();
      session->co_serve();
      ended->set();
    });
    return QmpPeer(UniqueFd(ends[1]));
  }
  void wait_for_end() {
    for (const auto& ended : open_) await(*ended);
    open_.clear();
  }

  std::shared_ptr<QmpSession> session_;  // the last one
  std::vector<std::unique_ptr<CoEvent>> open_;
};

TEST_F(QmpSessionTest, GreetsAndNegotiates) {
  QmpPeer peer = connect();
  const json greeting = peer.read()["QMP"];
  EXPECT_TRUE(greeting["version"]["qemu"]["major"].is_number());
  EXPECT_TRUE(greeting["version"]["qemu"]["minor"].is_number());
  EXPECT_TRUE(greeting["version"]["qemu"]["micro"].is_number());
  EXPECT_THAT(greeting["version"]["package"].get<std::string>(), HasSubstr("penstock "));
  EXPECT_EQ(greeting["capabilities"], json::array());

  peer.send(R"({"execute": "echo"})");
  const json early = peer.read()["error"];
  EXPECT_EQ(early["class"], "CommandNotFound");
  EXPECT_EQ(early["desc"], "Expecting capabilities negotiation with 'qmp_capabilities'");

  peer.send(R"({"execute": "qmp_capabilities"})");
  EXPECT_EQ(peer.read(), json({{"return", json::object()}}));
  peer.send(R"({"execute": "qmp_capabilities", "id": 3})");
  const json again = peer.read();
  EXPECT_EQ(again["error"]["class"], "CommandNotFound");
  EXPECT_EQ(again["error"]["desc"],
            "Capabilities negotiation is already complete, command ignored");
  EXPECT_EQ(again["id"], 3);
}

TEST_F(QmpSessionTest, AnswersCarryTheIdWhateverItIs) {
  QmpPeer peer = connect();
  peer.negotiate();
  for (const char* id : {"7", "\"text\"", "null", "{\"a\":[1]}", "1.5", "[]"}) {
    peer.send(std::string(R"({"id": )") + id + R"(, "execute": "echo", "arguments": {"x": 1}})");
    EXPECT_EQ(peer.read(), json({{"return", {{"x", 1}}}, {"id", json::parse(id)}}));
    peer.send(std::string(R"({"id": )") + id + R"(, "execute": "fail"})");
    EXPECT_EQ(peer.read(), json({{"error", {{"class", "GenericError"}, {"desc", "it failed"}}},
                                 {"id", json::parse(id)}}));
  }
}

TEST_F(QmpSessionTest, AnswersAreAscii) {
  QmpPeer peer = connect();
  peer.negotiate();
  peer.send(R"({"execute": "echo", "arguments": {"name": "größe"}})");
  peer.stop_sending();
  EXPECT_EQ(peer.read_all(), "{\"return\":{\"name\":\"gr\\u00f6\\u00dfe\"}}\r\n");
}

TEST_F(QmpSessionTest, PrettyMessagesAreLaidOutForPeople) {
  QmpSession::Limits limits;
  limits.pretty = true;
  QmpPeer peer = connect(limits);
  peer.send(R"({"execute": "qmp_capabilities"})");
  peer.stop_sending();
  const std::string text = peer.read_all();
  EXPECT_THAT(text, HasSubstr("{\n    \"QMP\": {\n        \"capabilities\""));
  EXPECT_THAT(text, HasSubstr("}\r\n{\n    \"return\": {}\n}\r\n"));
}

TEST_F(QmpSessionTest, WrongMessagesAreAnsweredAsQemuAnswersThem) {
  QmpPeer peer = connect();
  peer.negotiate();
  const struct {
    const char* message;
    const char* error;
  } kCases[] = {
      {"[1,2]", "QMP input must be a JSON object"},
      {"{}", "QMP input lacks member 'execute'"},
      {R"({"id": 1})", "QMP input lacks member 'execute'"},
      {R"({"execute": 1})", "QMP input member 'execute' must be a string"},
      {R"({"execute": "x", "arguments": []})", "QMP input member 'arguments' must be an object"},
      {R"({"execute": "x", "foo": 1})", "QMP input member 'foo' is unexpected"},
      {R"({"exec-oob": "x"})", "QMP input member 'exec-oob' is unexpected"},
      {R"({"execute": "nope"})", "The command nope has not been found"},
      {"hello\n", "JSON parse error"},
      {"{\"execute\": }", "JSON parse error"},
      {"\xff", "JSON parse error"},
  };
  for (const auto& c : kCases) {
    peer.send(c.message);
    EXPECT_THAT(peer.read_error(), HasSubstr(c.error)) << c.message;
  }
  peer.send(R"({"execute": "echo"})");
  EXPECT_EQ(peer.read(), json({{"return", json::object()}}));
}

TEST_F(QmpSessionTest, ATooLargeMessageIsAnsweredAndSkipped) {
  QmpPeer peer = connect();
  peer.negotiate();
  peer.send(R"({"execute": "echo", "arguments": {"x": ")" + std::string(3 * kMiB, 'x') + "\"}}");
  EXPECT_THAT(peer.read_error(), HasSubstr("too large"));
  peer.execute("echo", json::object(), 1);
  EXPECT_EQ(peer.read()["id"], 1);
}

TEST_F(QmpSessionTest, CommandsOfOneClientRunInTheirOrder) {
  QmpPeer peer = connect();
  peer.negotiate();
  peer.execute("wait", json::object(), 1);
  peer.execute("echo", json::object(), 2);
  peer.execute("echo", json::object(), 3);
  await(waiting_);
  go_on_.set();
  for (int id = 1; id <= 3; ++id) EXPECT_EQ(peer.read()["id"], id);
}

TEST_F(QmpSessionTest, AnotherClientsCommandsRunMeanwhile) {
  QmpPeer slow = connect();
  QmpPeer quick = connect();
  slow.negotiate();
  quick.negotiate();
  slow.execute("wait", json::object(), 1);
  await(waiting_);
  quick.execute("echo", json::object(), 2);
  EXPECT_EQ(quick.read()["id"], 2);
  go_on_.set();
  EXPECT_EQ(slow.read()["id"], 1);
}

TEST_F(QmpSessionTest, EventsComeAfterNegotiationInTheirOrder) {
  QmpPeer peer = connect();
  peer.read();
  emit("EARLY", json::object());
  peer.send(R"({"execute": "qmp_capabilities"})");
  EXPECT_TRUE(peer.read().contains("return"));
  for (int i = 0; i < 100; ++i) emit("COUNTED", {{"number", i}});
  for (int i = 0; i < 100; ++i) {
    const json event = peer.read();
    EXPECT_EQ(event["event"], "COUNTED");
    EXPECT_EQ(event["data"]["number"], i);
    EXPECT_GT(event["timestamp"]["seconds"], 1'500'000'000);
    EXPECT_LT(event["timestamp"]["microseconds"], 1'000'000);
  }
}

TEST_F(QmpSessionTest, EventsComeWhileACommandRuns) {
  QmpPeer peer = connect();
  peer.negotiate();
  peer.execute("wait", json::object(), 1);
  await(waiting_);
  emit("MEANWHILE", json::object());
  EXPECT_EQ(peer.read()["event"], "MEANWHILE");
  go_on_.set();
  EXPECT_EQ(peer.read()["id"], 1);
}

TEST_F(QmpSessionTest, WhoStopsSendingGetsAllAnswers) {
  QmpPeer peer = connect();
  std::string all = R"({"execute": "qmp_capabilities"})";
  for (int i = 0; i < 500; ++i) all += R"({"execute": "big", "arguments": {"size": 5000}})";
  std::thread sender([&] {
    peer.send(all);
    peer.stop_sending();
  });
  EXPECT_TRUE(peer.read().contains("QMP"));
  EXPECT_EQ(peer.read(), json({{"return", json::object()}}));
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(peer.read()["return"].get<std::string>().size(), 5000U);
  }
  EXPECT_TRUE(peer.read().is_null());
  sender.join();
}

TEST_F(QmpSessionTest, AReplyLargerThanTheQueueReachesWhoReads) {
  QmpPeer peer = connect({.input = {}, .output = 1000});
  peer.negotiate();
  peer.execute("big", {{"size", 8 * kMiB}}, 1);
  peer.execute("echo", json::object(), 2);
  EXPECT_EQ(peer.read()["return"].get<std::string>().size(), 8 * kMiB);
  EXPECT_EQ(peer.read()["id"], 2);
}

// Events are the first to go; messages stay whole.
TEST_F(QmpSessionTest, AClientThatDoesNotReadLosesEventsButNoReply) {
  QmpPeer peer = connect();
  peer.negotiate();
  const json data = {{"text", std::string(1000, 'x')}};
  on_control([&] {
    assert_control_thread();
    for (int i = 0; i < 20000; ++i) events_.emit("FLOOD", data);
  });
  peer.execute("echo", json::object(), 1);
  int events = 0;
  for (json message = peer.read(); !message.contains("id"); message = peer.read()) {
    ASSERT_EQ(message["event"], "FLOOD");
    ++events;
  }
  EXPECT_GT(events, 0);
  EXPECT_LT(events, 20000);
}

TEST_F(QmpSessionTest, AClientThatAsksAndNeverReadsIsDisconnected) {
  QmpPeer peer =
      connect({.input = {}, .output = 64 * 1024, .patience = std::chrono::milliseconds(50)});
  peer.send(R"({"execute": "qmp_capabilities"})");
  while (peer.send(R"({"execute": "big", "arguments": {"size": 1000000}})")) {
  }
  wait_for_end();
}

TEST_F(QmpSessionTest, ACommandOutlivesItsClient) {
  QmpPeer peer = connect();
  peer.negotiate();
  peer.execute("wait", json::object(), 1);
  await(waiting_);
  peer.leave();
  emit("NOBODY", json::object());
  go_on_.set();
  wait_for_end();
}

TEST_F(QmpSessionTest, FinishLetsTheRunningCommandAnswerAndStartsNoOther) {
  QmpPeer peer = connect();
  peer.negotiate();
  peer.execute("wait", json::object(), 1);
  peer.execute("echo", json::object(), 2);
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    waiting_.co_wait();
    EXPECT_EQ(session_->running_command(), "wait");
    session_->finish();
    go_on_.set();
  });
  EXPECT_EQ(peer.read()["id"], 1);
  EXPECT_TRUE(peer.read().is_null());
}

TEST_F(QmpSessionTest, FinishEndsAnIdleSession) {
  QmpPeer peer = connect();
  peer.negotiate();
  on_control([&] {
    assert_control_thread();
    session_->finish();
  });
  wait_for_end();
  EXPECT_TRUE(peer.read().is_null());
}

}  // namespace
}  // namespace penstock
