// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "control/qmp/qmp_client.h"
#include "control/qmp/socket_file.h"
#include "tests/control/qmp_fixture.h"

namespace penstock {
namespace {

using nlohmann::json;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using testing::HasSubstr;

class QmpServerTest : public QmpFixture {
 protected:
  QmpServerTest() {
    char name[] = "/tmp/penstock-qmp-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ + "/socket";
  }
  ~QmpServerTest() override {
    if (server_ != nullptr) {
      EXPECT_EQ(stop(60s), absl::OkStatus());
    }
    std::filesystem::remove_all(folder_);
  }

  absl::StatusOr<std::unique_ptr<QmpServer>> try_start(QmpServer::Limits limits = {}) {
    return on_control([&] {
      assert_in_coroutine();
      assert_control_thread();
      return QmpServer::co_start(dispatch_, path_, limits);
    });
  }
  void start(QmpServer::Limits limits = {}) {
    auto started = try_start(limits);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  absl::Status stop(Nanoseconds limit) {
    const absl::Status status = on_control([&] {
      assert_in_coroutine();
      assert_control_thread();
      return server_->co_stop(limit);
    });
    server_.reset();
    return status;
  }
  QmpPeer connect() const {
    auto socket = connect_to_socket(path_);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return QmpPeer(socket.ok() ? *std::move(socket) : UniqueFd());
  }

  std::string folder_;
  std::string path_;
  std::unique_ptr<QmpServer> server_;
};

TEST_F(QmpServerTest, TheSocketIsForItsOwnerAndGoesWithTheServer) {
  start();
  struct stat facts;
  ASSERT_EQ(::lstat(path_.c_str(), &facts), 0);
  EXPECT_TRUE(S_ISSOCK(facts.st_mode));
  EXPECT_EQ(facts.st_mode & 07777, 0600U);
  EXPECT_TRUE(connect().negotiate().contains("QMP"));
  EXPECT_EQ(stop(60s), absl::OkStatus());
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(QmpServerTest, ADeadServersSocketIsReplaced) {
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    const auto address = unix_address(path_);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)),
              0);
  }
  start();
  EXPECT_TRUE(connect().negotiate().contains("QMP"));
}

TEST_F(QmpServerTest, ALivingServersSocketIsNot) {
  start();
  const absl::Status second = try_start().status();
  EXPECT_EQ(status_errno(second), EBUSY);
  EXPECT_THAT(status_text(second), HasSubstr("another server listens at '" + path_ + "'"));
  EXPECT_TRUE(connect().negotiate().contains("QMP"));
}

TEST_F(QmpServerTest, AFileThatIsNoSocketStays) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(status_errno(try_start().status()), EEXIST);
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(QmpServerTest, PathsThatCannotBeAreRefused) {
  path_ = folder_ + "/" + std::string(120, 'x');
  EXPECT_EQ(status_errno(try_start().status()), ENAMETOOLONG);
  path_ = folder_ + "/none/socket";
  EXPECT_EQ(status_errno(try_start().status()), ENOENT);
}

TEST_F(QmpServerTest, AFileThatCameInItsPlaceStays) {
  start();
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  std::ofstream(path_) << "precious";
  EXPECT_EQ(stop(60s), absl::OkStatus());
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(QmpServerTest, OneClientTooManyIsToldSo) {
  start({.clients = 2, .session = {}});
  QmpPeer first = connect();
  QmpPeer second = connect();
  first.negotiate();
  second.negotiate();
  QmpPeer third = connect();
  EXPECT_THAT(third.read_error(), HasSubstr("2 clients already"));
  EXPECT_TRUE(third.read().is_null());
  first.leave();
  EXPECT_TRUE(connect().negotiate().contains("QMP"));
}

TEST_F(QmpServerTest, AThousandClientsComeAndGo) {
  start();
  QmpPeer witness = connect();
  witness.negotiate();
  std::vector<std::thread> crowds;
  for (int crowd = 0; crowd < 4; ++crowd) {
    crowds.emplace_back([this, crowd] {
      for (int i = 0; i < 250; ++i) {
        QmpPeer peer = connect();
        if (i % 3 == 0) continue;  // gone before the greeting
        if (i % 3 == 1) {
          peer.send("{\"half");  // gone within a message
        } else {
          EXPECT_TRUE(peer.negotiate().contains("QMP")) << crowd << " " << i;
        }
      }
    });
  }
  for (std::thread& crowd : crowds) crowd.join();
  witness.execute("echo", json::object(), 1);
  EXPECT_EQ(witness.read()["id"], 1);
}

TEST_F(QmpServerTest, GarbageIsSurvived) {
  start();
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    QmpPeer peer = connect();
    std::string garbage(size_t{1} << (round % 16), '\0');
    for (char& byte : garbage) byte = static_cast<char>(random());
    std::thread sender([&] {
      peer.send(garbage + "\xff{\"execute\": \"qmp_capabilities\"}");
      peer.stop_sending();
    });
    EXPECT_THAT(peer.read_all(), HasSubstr("{\"return\":{}}"));
    sender.join();
  }
}

TEST_F(QmpServerTest, AnAdoptedSocketIsServedAndGoesOnListening) {
  const UniqueFd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = unix_address(path_);
  ASSERT_EQ(::bind(made.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)), 0);
  EXPECT_EQ(status_errno(QmpListener::adopt(made.get()).status()), EINVAL);
  ASSERT_EQ(::listen(made.get(), 1), 0);
  auto listener = QmpListener::adopt(::dup(made.get()));
  ASSERT_TRUE(listener.ok()) << listener.status();
  server_ = on_control([&] {
    assert_control_thread();
    return QmpServer::start(dispatch_, *std::move(listener), QmpServer::Limits());
  });
  EXPECT_TRUE(connect().negotiate().contains("QMP"));
  EXPECT_EQ(stop(60s), absl::OkStatus());
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_TRUE(connect_to_socket(path_).ok());
}

TEST_F(QmpServerTest, AConnectionIsServedUntilItGoes) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  server_ = on_control([&] {
    assert_control_thread();
    return QmpServer::start(dispatch_, UniqueFd(ends[0]), "test", QmpServer::Limits());
  });
  QmpPeer peer((UniqueFd(ends[1])));
  EXPECT_TRUE(peer.negotiate().contains("QMP"));
  EXPECT_EQ(stop(60s), absl::OkStatus());
  EXPECT_EQ(peer.read_all(), "");
}

TEST_F(QmpServerTest, APeerIsConnectedToAgainAndAgain) {
  server_ = on_control([&] {
    assert_control_thread();
    return QmpServer::start(dispatch_, QmpServer::Peer{path_, 1ms}, QmpServer::Limits());
  });
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = unix_address(path_);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)),
            0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  for (int i = 0; i < 3; ++i) {
    QmpPeer peer(UniqueFd(::accept(listener.get(), nullptr, nullptr)));
    EXPECT_TRUE(peer.negotiate().contains("QMP"));
  }
}

TEST_F(QmpServerTest, StoppingWaitsForTheRunningCommand) {
  start();
  QmpPeer peer = connect();
  peer.negotiate();
  QmpPeer idle = connect();
  idle.negotiate();
  peer.execute("wait", json::object(), 1);
  await(waiting_);
  control_->context().spawn("go on later", [&] {
    assert_in_coroutine();
    co_pause();
    go_on_.set();
  });
  EXPECT_EQ(stop(60s), absl::OkStatus());
  EXPECT_EQ(peer.read()["id"], 1);
  EXPECT_TRUE(peer.read().is_null());
  EXPECT_TRUE(idle.read().is_null());
}

TEST_F(QmpServerTest, StoppingNamesACommandThatDoesNotEnd) {
  start();
  QmpPeer peer = connect();
  peer.negotiate();
  peer.execute("wait", json::object(), 1);
  await(waiting_);
  const absl::Status status = stop(1ms);
  EXPECT_EQ(status_errno(status), ETIMEDOUT);
  EXPECT_THAT(status_text(status), HasSubstr("wait"));
  EXPECT_TRUE(peer.read().is_null());
  // What was left goes on and ends by itself.
  go_on_.set();
  on_control([&] {
    assert_in_coroutine();
    for (int i = 0; i < 100; ++i) co_pause();
  });
}

TEST_F(QmpServerTest, TheProgramsOwnClientUnderstandsIt) {
  start();
  auto client = QmpClient::connect(path_);
  ASSERT_TRUE(client.ok()) << client.status();
  emit("BEFORE", {{"number", 1}});
  const auto echo = client->execute("echo", {{"a", 1}});
  ASSERT_TRUE(echo.ok()) << echo.status();
  EXPECT_EQ(*echo, json({{"a", 1}}));
  const absl::Status none = client->execute("nope", json::object()).status();
  EXPECT_EQ(qmp_error_class(none), "CommandNotFound");
  EXPECT_EQ(status_text(none), "The command nope has not been found");
  EXPECT_EQ((*client->next_event())["event"], "BEFORE");
  // Another file would be named by it.
  EXPECT_EQ(status_errno(client->execute("echo", {{"a", "\xff"}}).status()), EILSEQ);
  EXPECT_EQ(client->user(), ::geteuid());
  EXPECT_TRUE(QmpClient::connect(path_, ::geteuid()).ok());
  EXPECT_EQ(status_errno(QmpClient::connect(path_, ::geteuid() + 1).status()), EACCES);
  EXPECT_EQ(stop(60s), absl::OkStatus());
  EXPECT_EQ(status_errno(client->execute("echo", json::object()).status()), ESHUTDOWN);
  EXPECT_EQ(status_errno(QmpClient::connect(path_).status()), ENOENT);
}

TEST_F(QmpServerTest, ASocketOfAServerThatEndsEachConnectionIsNotReplaced) {
  const UniqueFd other(::socket(AF_UNIX, SOCK_STREAM, 0));
  const auto address = unix_address(path_);
  ASSERT_EQ(::bind(other.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)), 0);
  ASSERT_EQ(::listen(other.get(), 8), 0);
  std::thread server([&] { UniqueFd(::accept(other.get(), nullptr, nullptr)).reset(); });
  EXPECT_EQ(status_errno(try_start().status()), EBUSY);
  server.join();
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(QmpServerTest, ASocketOfAServerThatAcceptsNobodyIsNotReplaced) {
  const UniqueFd other(::socket(AF_UNIX, SOCK_STREAM, 0));
  const auto address = unix_address(path_);
  ASSERT_EQ(::bind(other.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)), 0);
  ASSERT_EQ(::listen(other.get(), 0), 0);
  std::vector<UniqueFd> waiting;
  for (;;) {
    UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    const auto* const name = reinterpret_cast<const sockaddr*>(&*address);
    if (::connect(client.get(), name, sizeof(*address)) != 0) break;
    waiting.push_back(std::move(client));
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(status_errno(try_start().status()), EBUSY);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(QmpServerTest, AClientThatDoesNotReadDoesNotDelayTheEnd) {
  start();
  QmpPeer deaf = connect();
  deaf.negotiate();
  deaf.execute("big", {{"size", size_t{8} << 20}}, 1);
  QmpPeer other = connect();
  other.negotiate();
  other.execute("wait", json::object(), 2);
  await(waiting_);
  control_->context().spawn("go on", [this] {
    assert_in_coroutine();
    // Longer than the deaf client gets.
    go_on_.co_wait_until(AioContext::current()->now() + 1500ms);
    go_on_.set();
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(stop(60s), absl::OkStatus());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
  EXPECT_EQ(other.read()["id"], 2) << "a command that runs still answers";
}

}  // namespace
}  // namespace penstock
