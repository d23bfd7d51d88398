// Durations in buckets of one microsecond, the last one open. Not for several threads at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

class Histogram {
 public:
  void record(int64_t ns) {
    const int64_t us = std::clamp<int64_t>(ns / 1000, 0, kLongestUs);
    ++counts_[us];
    ++total_;
    longest_us_ = std::max(longest_us_, us);
  }

  // An object with p50, p99, p99_9 and max in microseconds, and count.
  std::string json() const {
    char text[200];
    snprintf(text, sizeof text, "{\"count\": %lld, \"p50\": %lld, \"p99\": %lld, \"p99_9\": %lld, \"max\": %lld}",
             static_cast<long long>(total_), quantile(500), quantile(990), quantile(999),
             static_cast<long long>(longest_us_));
    return text;
  }

 private:
  static constexpr int64_t kLongestUs = 1'000'000;

  // The smallest that so many of a thousand do not exceed.
  long long quantile(int64_t per_mille) const {
    const int64_t rank = (total_ * per_mille + 999) / 1000;
    int64_t seen = 0;
    for (int64_t us = 0; us <= longest_us_; ++us)
      if ((seen += counts_[us]) >= rank) return us;
    return longest_us_;
  }

  std::vector<int64_t> counts_ = std::vector<int64_t>(kLongestUs + 1);
  int64_t total_ = 0, longest_us_ = 0;
};
