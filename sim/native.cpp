// The program around a Verilator model. Started with --native it streams vectors from a file through the model and
// writes every result to another; started otherwise it is cocotb's own main program.
//
// --native IN_FILE OUT_FILE REPORT IN_WORDS OUT_WORDS LATENCY PATIENCE SEED GAPS
//   IN_FILE   vectors, IN_WORDS little-endian 32-bit words each
//   OUT_FILE  results in order of arrival, OUT_WORDS words each
//   REPORT    JSON: counts, latency and protocol faults, seconds of the loop alone
//   PATIENCE  cycles without progress after which the rest counts as lost
//   GAPS      0 back to back, otherwise on average one gap (and stall) in GAPS cycles
// NMP_READY is defined where the model has in_ready and out_ready. Inputs change while clk is 0; everything is sampled just before the rising edge.

#define main cocotb_main
#include COCOTB_MAIN
#undef main

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

template <typename T>
inline void put(T &port, const uint32_t *words) {
    if (sizeof(T) > 4) {
        uint64_t value = words[0] | (static_cast<uint64_t>(words[1]) << 32);
        port = static_cast<T>(value);
    } else {
        port = static_cast<T>(words[0]);
    }
}

template <std::size_t N>
inline void put(VlWide<N> &port, const uint32_t *words) {
    std::memcpy(&port[0], words, 4 * N);
}

template <typename T>
inline void get(const T &port, uint32_t *words) {
    words[0] = static_cast<uint32_t>(port);
    if (sizeof(T) > 4) words[1] = static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32);
}

template <std::size_t N>
inline void get(const VlWide<N> &port, uint32_t *words) {
    std::memcpy(words, &port[0], 4 * N);
}

[[noreturn]] void fail(const std::string &what) {
    std::fprintf(stderr, "error: %s\n", what.c_str());
    std::exit(1);
}

std::vector<uint32_t> read_words(const char *path) {
    std::FILE *file = std::fopen(path, "rb");
    if (!file) fail(std::string("cannot read ") + path);
    std::fseek(file, 0, SEEK_END);
    const long bytes = std::ftell(file);
    std::rewind(file);
    std::vector<uint32_t> words(bytes / 4);
    if (std::fread(words.data(), 4, words.size(), file) != words.size()) fail(std::string("cannot read ") + path);
    std::fclose(file);
    return words;
}

void write_all(const char *path, const void *data, std::size_t bytes) {
    std::FILE *file = std::fopen(path, "wb");
    if (!file || std::fwrite(data, 1, bytes, file) != bytes || std::fclose(file)) {
        fail(std::string("cannot write ") + path);
    }
}

struct Counts {
    int64_t accepted = 0, results = 0, unexpected = 0, mistimed = 0, first_mistimed = -1, unstable = 0;
    int64_t latency_seen = -1, cycles = 0;
};

// xorshift: gaps that are the same on every machine
struct Random {
    uint64_t state;
    bool one_in(uint64_t n) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return n && state % n == 0;
    }
};

class Harness {
  public:
    Harness(std::vector<uint32_t> inputs, std::size_t in_words, std::size_t out_words, int64_t latency,
            int64_t patience, uint64_t seed, uint64_t gaps)
        : inputs_(std::move(inputs)), in_words_(in_words), out_words_(out_words), latency_(latency),
          patience_(patience), random_{seed * 2654435761u + 88172645463325252ull}, gaps_(gaps), vectors_(inputs_.size() / in_words) {
        results_.resize(vectors_ * out_words_);
        held_.resize(out_words_ + 1);
        word_.resize(out_words_ + 1);
    }

    void run() {
        reset();
        int64_t idle = 0;
        bool holding = false;
        while (idle < patience_) {
            const bool left = next_ < vectors_;
            if (left && !holding) holding = !random_.one_in(gaps_);
            const bool moved = cycle(left && holding, gaps_ && random_.one_in(gaps_));
            if (counts.accepted > static_cast<int64_t>(next_)) ++next_, holding = false;
            idle = moved ? 0 : idle + 1;
            // When all results are in, a short tail shows whether more come than were asked for.
            if (next_ == vectors_ && counts.results >= static_cast<int64_t>(vectors_) && idle > latency_ + 16) break;
        }
    }

    Counts counts;
    std::vector<uint32_t> results_;

  private:
    void edge() {
        top_.clk = 1;
        top_.eval();
        ++counts.cycles;
    }

    void reset() {
        top_.rst = 1;
        top_.in_valid = 0;
#ifdef NMP_READY
        top_.out_ready = 1;
#endif
        for (int i = 0; i < 4; ++i) {
            top_.clk = 0;
            top_.eval();
            edge();
        }
        top_.rst = 0;
    }

    // One clock cycle; true when a vector was accepted or a result taken.
    bool cycle(bool offer, bool stall) {
        const int64_t before = counts.accepted + counts.results;
        top_.clk = 0;
        top_.in_valid = offer;
        if (offer) put(top_.in_data, &inputs_[next_ * in_words_]);
        bool accepted = offer, take = true;
#ifdef NMP_READY
        take = !stall;
        top_.out_ready = take;
        top_.eval();
        accepted = offer && top_.in_ready;
#else
        (void)stall;
        top_.eval();
#endif
        if (accepted) {
            flying_.push_back(counts.cycles);
            ++counts.accepted;
        }
        sample(take);
        edge();
        return counts.accepted + counts.results != before;
    }

    void sample(bool take) {
#ifdef NMP_READY
        if (stalled_) {
            get(top_.out_data, word_.data());
            if (!top_.out_valid || std::memcmp(word_.data(), held_.data(), 4 * out_words_)) ++counts.unstable;
        }
        stalled_ = top_.out_valid && !take;
        if (stalled_) get(top_.out_data, held_.data());
        if (top_.out_valid && take) result(false);
#else
        (void)take;
        if (top_.out_valid) result(true);
#endif
    }

    void result(bool timed) {
        if (flying_.empty()) {
            ++counts.unexpected;
            return;
        }
        const int64_t seen = counts.cycles - flying_.front();
        flying_.pop_front();
        if (counts.latency_seen < 0) counts.latency_seen = seen;
        if (timed && seen != latency_ && counts.mistimed++ == 0) counts.first_mistimed = counts.results;
        get(top_.out_data, &results_[counts.results * out_words_]);
        ++counts.results;
    }

    Vtop top_;
    std::vector<uint32_t> inputs_, held_, word_;
    std::size_t in_words_, out_words_;
    int64_t latency_, patience_;
    Random random_;
    uint64_t gaps_;
    std::size_t vectors_, next_ = 0;
    std::deque<int64_t> flying_;
    bool stalled_ = false;
};

int native(int argc, char **argv) {
    if (argc != 11) fail("--native takes 9 arguments");
    const std::size_t in_words = std::strtoull(argv[5], nullptr, 10), out_words = std::strtoull(argv[6], nullptr, 10);
    Harness harness(read_words(argv[2]), in_words, out_words, std::strtoll(argv[7], nullptr, 10),
                    std::strtoll(argv[8], nullptr, 10), std::strtoull(argv[9], nullptr, 10),
                    std::strtoull(argv[10], nullptr, 10));
    const auto start = std::chrono::steady_clock::now();
    harness.run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const Counts &c = harness.counts;
    write_all(argv[3], harness.results_.data(), 4 * out_words * static_cast<std::size_t>(c.results));
    char text[512];
    const int length = std::snprintf(
        text, sizeof text,
        "{\"accepted\": %lld, \"results\": %lld, \"unexpected\": %lld, \"mistimed\": %lld, \"first_mistimed\": %lld, "
        "\"unstable\": %lld, \"latency_seen\": %lld, \"cycles\": %lld, \"loop_seconds\": %.6f}\n",
        (long long)c.accepted, (long long)c.results, (long long)c.unexpected, (long long)c.mistimed,
        (long long)c.first_mistimed, (long long)c.unstable, (long long)c.latency_seen, (long long)c.cycles,
        took.count());
    write_all(argv[4], text, static_cast<std::size_t>(length));
    return 0;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc > 1 && !std::strcmp(argv[1], "--native")) return native(argc, argv);
    return cocotb_main(argc, argv);
}
