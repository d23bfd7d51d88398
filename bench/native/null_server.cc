// A model server that computes nothing: Predict and GetModelMetadata answer with the bytes of two files.
//
//   null_server --metadata FILE --reply FILE [--delay-us N | --queue-us N]
//
// With --queue-us Predicts are answered one after the other, each of which takes N us: the D/1 of a queue M/D/1.
//
// It listens on a free port of 127.0.0.1 and says so in its first line. On SIGUSR1, and on SIGTERM before it ends, it
// prints one line of JSON: how many it has answered, and, if it answers late on purpose, how late it was since the last
// line: from when a request was read to when its answer was written, as far as gRPC tells (by its completion queue).
//
// It is to cost as little as gRPC's core allows, on one processor core, or it would be the limit of what is measured: so
// bytes go in and out unparsed, and one thread does all the work. The two methods are registered as generated code does
// it, because then a call arrives with its message already read; gRPC's generic service takes a third more time.

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/async_unary_call.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "histogram.h"

namespace {

constexpr int kWaitingCalls = 100;  // for each method; with thousands, their memory would not stay in the cache

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

struct Call;

// Calls that are answered a fixed time after they were read, or after the one before them was answered, if that is later.
// As the time is the same for all, they leave in the order in which they came. gRPC's own alarms count whole milliseconds, so this is a thread that sleeps by the nanosecond.
class Delay {
 public:
  Delay(int64_t ns, bool one_by_one) : ns_(ns), one_by_one_(one_by_one) {
    if (ns_ > 0) std::thread([this] { run(); }).detach();
  }

  bool on() const { return ns_ > 0; }

  void add(Call* call, int64_t read_ns) {
    std::lock_guard<std::mutex> guard(lock_);
    last_ns_ = (one_by_one_ ? std::max(read_ns, last_ns_) : read_ns) + ns_;
    waiting_.push_back({last_ns_, call});
    some_.notify_one();
  }

 private:
  struct Due {
    int64_t at_ns;
    Call* call;
  };

  void run();

  const int64_t ns_;
  const bool one_by_one_;
  int64_t last_ns_ = 0;
  std::mutex lock_;
  std::condition_variable some_;
  std::deque<Due> waiting_;
};

// What was answered, told by another thread than counts it.
class Count {
 public:
  void add(bool predict, int64_t took_ns) {
    std::lock_guard<std::mutex> guard(lock_);
    ++(predict ? predicts_ : metadata_);
    if (took_ns) delays_.record(took_ns);
  }

  void tell() {
    std::lock_guard<std::mutex> guard(lock_);
    printf("{\"predicts\": %lld, \"metadata\": %lld, \"delay_us\": %s}\n", predicts_, metadata_, delays_.json().c_str());
    fflush(stdout);
    delays_ = Histogram();
  }

 private:
  std::mutex lock_;
  long long predicts_ = 0, metadata_ = 0;
  Histogram delays_;
};

enum Method { kPredict, kMetadata };

class Service : public grpc::Service {
 public:
  Service() {
    for (const char* name : {"Predict", "GetModelMetadata"}) {  // in the order of Method
      paths_.push_back(std::string("/tensorflow.serving.PredictionService/") + name);
    }
    for (const Method method : {kPredict, kMetadata}) {
      AddMethod(new grpc::internal::RpcServiceMethod(paths_[method].c_str(), grpc::internal::RpcMethod::NORMAL_RPC,
                                                     nullptr));
      MarkMethodAsync(method);
    }
  }

  using grpc::Service::RequestAsyncUnary;

 private:
  std::vector<std::string> paths_;
};

struct Server {
  Server(int64_t delay_ns, bool one_by_one) : delay(delay_ns, one_by_one) {}

  Service service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  grpc::ByteBuffer metadata, reply;
  Delay delay;
  Count count;
};

// One call, from before it arrives until its answer is written. Its address is its tag in the completion queue.
struct Call {
  Call(Server& server, Method method) : server(server), method(method), response(&context) {
    server.service.RequestAsyncUnary(method, &context, &request, &response, server.queue.get(), server.queue.get(),
                                     this);
  }

  void proceed(bool ok) {
    if (!ok) {  // the caller went away
      delete this;
    } else if (!arrived) {
      arrived = true;
      new Call(server, method);
      if (method == kPredict && server.delay.on()) {
        read_ns = now_ns();
        server.delay.add(this, read_ns);
      } else {
        answer();
      }
    } else {
      server.count.add(method == kPredict, read_ns ? now_ns() - read_ns : 0);
      delete this;
    }
  }

  void answer() { response.Finish(method == kPredict ? server.reply : server.metadata, grpc::Status::OK, this); }

  Server& server;
  const Method method;
  bool arrived = false;
  int64_t read_ns = 0;
  grpc::ServerContext context;
  grpc::ByteBuffer request;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> response;
};

void Delay::run() {
  prctl(PR_SET_TIMERSLACK, 1UL);  // the kernel may otherwise add 50 us to each sleep
  std::unique_lock<std::mutex> guard(lock_);
  for (;;) {
    some_.wait(guard, [this] { return !waiting_.empty(); });
    const Due due = waiting_.front();
    waiting_.pop_front();
    guard.unlock();
    const timespec until{due.at_ns / 1'000'000'000, due.at_ns % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
    }
    due.call->answer();
    guard.lock();
  }
}

grpc::ByteBuffer read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    fprintf(stderr, "null_server: cannot read %s\n", path);
    exit(2);
  }
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

int main(int count, char** arguments) {
  const char *metadata = nullptr, *reply = nullptr;
  int64_t delay_us = 0, queue_us = 0;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--metadata") metadata = arguments[i + 1];
    if (name == "--reply") reply = arguments[i + 1];
    if (name == "--delay-us") delay_us = atoll(arguments[i + 1]);
    if (name == "--queue-us") queue_us = atoll(arguments[i + 1]);
  }
  if (!metadata || !reply) {
    fprintf(stderr, "usage: null_server --metadata FILE --reply FILE [--delay-us N | --queue-us N]\n");
    return 2;
  }

  sigset_t signals;  // taken by sigwait below; blocked before there are threads, which inherit it
  sigemptyset(&signals);
  for (const int number : {SIGUSR1, SIGTERM, SIGINT}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Server server((queue_us ? queue_us : delay_us) * 1000, queue_us > 0);
  server.metadata = read_file(metadata);
  server.reply = read_file(reply);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&server.service);
  server.queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> listening = builder.BuildAndStart();
  if (!listening) return 1;
  for (int i = 0; i < kWaitingCalls; ++i)
    for (const Method method : {kPredict, kMetadata}) new Call(server, method);
  std::thread([&server] {
    void* tag;
    bool ok;
    while (server.queue->Next(&tag, &ok)) static_cast<Call*>(tag)->proceed(ok);
  }).detach();
  printf("127.0.0.1:%d\n", port);
  fflush(stdout);

  for (int number = SIGUSR1; number == SIGUSR1;) {
    sigwait(&signals, &number);
    server.count.tell();
  }
  _exit(0);  // connections end with the process
}
