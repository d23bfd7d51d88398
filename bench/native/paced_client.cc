// A client that does nothing but call at a fixed rate and look at the clock: what any other client is compared with.
//
//   paced_client PORT REQUEST_FILE RATE SECONDS
//
// One HTTP/2 connection to 127.0.0.1 in plain text, each request two prebuilt frames (RFC 9113 sections 6.1 and 6.2),
// the file's bytes as the message. It does not wait for answers before it sends the next request, and sends each when
// it is due, to some ten microseconds. The first second is not counted. It prints one line of JSON, in microseconds:
// service_us from when a request was written to when the end of its answer was read, send_lag_us how late it was sent.
// Small messages only: it does not wait for room in a flow-control window, but ends with an error where there is none.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "histogram.h"

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7, kWindowUpdate = 8;
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;

[[noreturn]] void fail(const std::string& why) {
  fprintf(stderr, "paced_client: %s\n", why.c_str());
  exit(1);
}

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

std::string number(uint32_t value) {
  const uint32_t bytes = htonl(value);
  return std::string(reinterpret_cast<const char*>(&bytes), 4);
}

uint32_t number_at(const char* bytes) {
  uint32_t value;
  memcpy(&value, bytes, 4);
  return ntohl(value);
}

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  return number(payload.size()).substr(1) + char(type) + char(flags) + number(stream) + payload;
}

// A header that no table remembers (RFC 7541 section 6.2.2), so that all requests have the same block.
std::string header(const std::string& name, const std::string& value) {
  return std::string(1, 0) + char(name.size()) + name + char(value.size()) + value;
}

class Connection {
 public:
  explicit Connection(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address)) fail(strerror(errno));
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // no header table and no small window on our side: settings 1 and 4 (RFC 9113 section 6.5.2)
    const auto setting = [](char id, uint32_t value) { return std::string{0, id} + number(value); };
    write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, setting(1, 0) + setting(4, (1u << 31) - 1)) +
          frame(kWindowUpdate, 0, 0, number((1u << 31) - 65536)));
  }

  void write(const std::string& bytes) {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::write(socket_, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno != EINTR) fail(strerror(errno));
      if (n > 0) done += n;
    }
  }

  // Wait until there is something to read, or until a time. Whether there is.
  bool wait(int64_t until_ns) {
    const int64_t left = std::max<int64_t>(0, until_ns - now_ns());
    const timespec timeout{left / kSecond, left % kSecond};
    pollfd one{socket_, POLLIN, 0};
    return ppoll(&one, 1, &timeout, nullptr) > 0;
  }

  // Read once; calls ended(stream) for each stream that the server ended.
  template <typename Ended>
  void read(Ended ended) {
    char block[1 << 16];
    const ssize_t n = ::read(socket_, block, sizeof block);
    if (n <= 0) fail("the server closed the connection");
    unread_.append(block, n);
    size_t at = 0;
    while (unread_.size() - at >= 9) {
      const char* head = unread_.data() + at;
      const uint32_t length = number_at(head) >> 8;
      if (unread_.size() - at < 9 + length) break;
      const uint8_t type = head[3], flags = head[4];
      const uint32_t stream = number_at(head + 5);
      const char* payload = head + 9;
      if ((type == kHeaders || type == kData) && flags & kEndStream) ended(stream);
      if (type == kReset || type == kGoAway) fail("the server refused a request");
      if (type == kSettings && !(flags & kAck)) write(frame(kSettings, kAck, 0, ""));
      if (type == kPing && !(flags & kAck)) write(frame(kPing, kAck, 0, std::string(payload, length)));
      if (type == kWindowUpdate && stream == 0) window += number_at(payload);
      at += 9 + length;
    }
    unread_.erase(0, at);
  }

  int64_t window = 65535;  // what the server takes before it says more: RFC 9113 section 6.9.2

 private:
  const int socket_;
  std::string unread_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) fail("usage: paced_client PORT REQUEST_FILE RATE SECONDS");
  const int64_t rate = atoll(arguments[3]), total = rate * atoll(arguments[4]);
  std::ifstream file(arguments[2], std::ios::binary);
  if (!file) fail(std::string("cannot read ") + arguments[2]);
  const std::string message((std::istreambuf_iterator<char>(file)), {});
  prctl(PR_SET_TIMERSLACK, 1UL);

  const std::string authority = std::string("127.0.0.1:") + arguments[1];
  const std::string block = "\x83\x86" +  // :method POST, :scheme http: RFC 7541 appendix A
                            header(":path", "/tensorflow.serving.PredictionService/Predict") +
                            header(":authority", authority) + header("content-type", "application/grpc") +
                            header("te", "trailers");
  const std::string body = std::string(1, 0) + number(message.size()) + message;
  if (body.size() > 16384) fail("the message is larger than a frame");

  Connection connection(atoi(arguments[1]));
  Histogram service, send_lag;
  std::vector<int64_t> sent_ns(total);
  int64_t sent = 0, answered = 0;
  const int64_t start_ns = now_ns() + kSecond / 10;
  const auto due_ns = [&](int64_t k) { return start_ns + k * kSecond / rate; };
  const int64_t give_up_ns = due_ns(total) + 10 * kSecond;

  while (answered < total) {
    const int64_t now = now_ns();
    if (now > give_up_ns) fail("answers are missing");
    std::string out;
    for (; sent < total && due_ns(sent) <= now; ++sent) {
      const uint32_t stream = 2 * sent + 1;
      out += frame(kHeaders, kEndHeaders, stream, block) + frame(kData, kEndStream, stream, body);
      connection.window -= body.size();
      sent_ns[sent] = now;
      if (sent >= rate) send_lag.record(now - due_ns(sent));
    }
    if (connection.window < 0) fail("the server's window is full");
    if (!out.empty()) connection.write(out);
    if (connection.wait(sent < total ? due_ns(sent) : give_up_ns)) {
      int64_t read_ns = 0;
      connection.read([&](uint32_t stream) {
        if (!read_ns) read_ns = now_ns();
        const int64_t k = (stream - 1) / 2;
        if (k >= rate) service.record(read_ns - sent_ns[k]);
        ++answered;
      });
    }
  }
  printf("{\"answered\": %lld, \"service_us\": %s, \"send_lag_us\": %s}\n", static_cast<long long>(answered),
         service.json().c_str(), send_lag.json().c_str());
}
