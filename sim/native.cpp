// The program around a Verilator model. Started with --native it streams vectors from a file through the model and
// writes every result to another; started otherwise it is cocotb's own main program.
//
// --native IN_FILE OUT_FILE STATE_FILE REPORT IN_BITS IN_WORDS OUT_WORDS LATENCY INTERVAL PATIENCE SEED GAPS IN_BEATS
//          OUT_BITS OUT_BEATS STALLS [SCHEDULE]
//   IN_FILE    vectors, IN_WORDS little-endian 32-bit words each
//   OUT_FILE   a result of OUT_WORDS words for every vector, zeros where none came
//   STATE_FILE a byte for every vector: 0 no result came, 1 one came, 2 a reset dropped the vector
//   REPORT     JSON: counts, latency and protocol faults, seconds of the loop alone
//   PATIENCE   cycles without progress, beyond what the schedule asks for, after which the rest counts as lost
//   GAPS       0 back to back; otherwise the second half of the vectors has on average one gap (and stall) in GAPS cycles
//   SCHEDULE   what precedes every vector and what its result meets, five words each: whether the design must be empty,
//              idle cycles, cycles of reset, idle cycles after it, cycles for which the result is held
//   IN_BEATS   beats of a vector, each of the same share of its bits, the lowest first; OUT_BEATS those of a result
//   STALLS     0 where results are never kept waiting between gaps
// NMP_READY is defined where the model has in_ready and out_ready. Inputs change while clk is 0; everything is sampled
// just before the rising edge. Registers start with random bits. A vector that is not offered leaves its complement on
// in_data.

#define main cocotb_main
#include COCOTB_MAIN
#undef main

#include <algorithm>
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
    int64_t accepted = 0, results = 0, flushed = 0, unexpected = 0, mistimed = 0, first_mistimed = -1, unstable = 0;
    int64_t latency_seen = -1, interval_low = -1, interval_high = -1, cycles = 0;
};

// xorshift: gaps that are the same on every machine
struct Random {
    uint64_t state;
    uint64_t next() {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return state;
    }
    bool one_in(uint64_t n) { return n && next() % n == 0; }
};

struct Step {
    uint32_t empty, before, reset, after, stall;
};

struct Options {
    std::size_t in_bits, in_words, out_words;
    int64_t latency, interval, patience;
    uint64_t seed, gaps;
    std::size_t in_beats, out_bits, out_beats;
    bool stalls, streams;
};

// Bits of a row of words, from bit ``first`` on, to or from the beginning of another.
void cut(const uint32_t *words, std::size_t first, std::size_t bits, uint32_t *part) {
    for (std::size_t done = 0; done < bits; done += 32) {
        const std::size_t word = (first + done) / 32, shift = (first + done) % 32, left = bits - done;
        uint64_t value = words[word] >> shift;
        if (shift && shift + left > 32) value |= static_cast<uint64_t>(words[word + 1]) << (32 - shift);
        part[done / 32] = static_cast<uint32_t>(value) & (left < 32 ? (1u << left) - 1 : ~0u);
    }
}

void paste(uint32_t *words, std::size_t first, std::size_t bits, const uint32_t *part) {
    for (std::size_t bit = 0; bit < bits; ++bit) {
        const uint32_t value = part[bit / 32] >> (bit % 32) & 1;
        uint32_t &word = words[(first + bit) / 32];
        word = (word & ~(1u << (first + bit) % 32)) | value << (first + bit) % 32;
    }
}

class Harness {
  public:
    Harness(std::vector<uint32_t> inputs, std::vector<uint32_t> schedule, const Options &options)
        : options_(options), inputs_(std::move(inputs)), random_{options.seed * 2654435761u + 88172645463325252ull},
          vectors_(inputs_.size() / options.in_words) {
        results_.resize(vectors_ * options_.out_words);
        states_.resize(vectors_);
        held_.resize(options_.out_words + 1);
        word_.resize(options_.out_words + 1);
        whole_.resize(options_.out_words + 1);
        offered_.resize(options_.in_words + 2);
        if (!schedule.empty()) {
            if (schedule.size() != 5 * vectors_) fail("the schedule does not match the vectors");
            schedule_.resize(vectors_);
            std::memcpy(schedule_.data(), schedule.data(), 4 * schedule.size());
        }
        complement();
    }

    void run() {
        reset(1);
        int64_t idle = 0;
        bool holding = false;
        while (idle < options_.patience) {
            if (next_ < vectors_ && !holding) {
                if (!schedule_.empty()) {
                    if (!prepare(schedule_[next_])) break;
                    holding = true;
                } else {
                    holding = !(gappy() && random_.one_in(options_.gaps));
                }
            }
            const bool pausing = beat_ && schedule_.empty() && gappy() && random_.one_in(options_.gaps);
            const bool moved = cycle(next_ < vectors_ && holding && !pausing);
            if (accepted_) ++next_, holding = false, complement();
            idle = moved || stalled_ ? 0 : idle + 1;
            // When all results are in, a short tail shows whether more come than were asked for.
            if (next_ == vectors_ && flying_.empty() && idle > options_.latency + 16) break;
        }
    }

    Counts counts;
    std::vector<uint32_t> results_;
    std::vector<uint8_t> states_;

  private:
    struct Flight {
        std::size_t vector;
        int64_t since;
    };

    bool gappy() const { return options_.gaps && next_ >= vectors_ / 2; }

    // The pauses and the reset before a vector; false where the design does not become empty.
    bool prepare(const Step &step) {
        for (int64_t idle = 0; step.empty && !flying_.empty();) {
            idle = cycle(false) || stalled_ ? 0 : idle + 1;
            if (idle >= options_.patience) return false;
        }
        for (uint32_t i = 0; i < step.before; ++i) cycle(false);
        if (step.reset) reset(step.reset);
        for (uint32_t i = 0; i < step.after; ++i) cycle(false);
        recovered_ = step.empty && step.before > options_.latency + options_.interval && !step.reset && !step.after;
        return true;
    }

    void edge() {
        top_.clk = 1;
        top_.eval();
        ++counts.cycles;
    }

    // Vectors are offered and results taken at random meanwhile; none may count, nor come after the first edge.
    void reset(uint32_t cycles) {
        for (const Flight &flight : flying_) states_[flight.vector] = 2;
        counts.flushed += flying_.size();
        flying_.clear();
        lone_ = stalled_ = false;
        held_for_ = 0;
        beat_ = out_beat_ = 0;
        top_.rst = 1;
        for (uint32_t i = 0; i < cycles; ++i) {
            top_.clk = 0;
            top_.in_valid = options_.latency > 0 && random_.one_in(2);  // a combinational path holds nothing back
#ifdef NMP_READY
            top_.out_ready = random_.one_in(2);
#endif
            top_.eval();
            if (i && top_.out_valid) ++counts.unexpected;
            edge();
        }
        top_.rst = 0;
    }

    // Garbage for the cycles without an offer: a design that looks at it is found out.
    void complement() {
        if (next_ >= vectors_) return;
        garbage_.assign(&inputs_[next_ * options_.in_words], &inputs_[next_ * options_.in_words] + options_.in_words);
        garbage_.push_back(0);
        for (std::size_t i = 0; i < options_.in_words; ++i) garbage_[i] = ~garbage_[i];
        const std::size_t used = std::max<std::size_t>(options_.in_bits, 1) % 32;
        if (used) garbage_[options_.in_words - 1] &= (1u << used) - 1;
    }

    // One clock cycle; true when a vector was accepted or a result taken.
    bool cycle(bool offer) {
        const int64_t before = moves_;
        top_.clk = 0;
        top_.in_valid = offer;
        if (offer || !garbage_.empty()) put(top_.in_data, beat(offer ? &inputs_[next_ * options_.in_words] : garbage_.data()));
        accepted_ = offer;
        bool take = true;
#ifdef NMP_READY
        take = !stall();
        top_.out_ready = take;
        top_.eval();
        accepted_ = offer && top_.in_ready;
#else
        top_.eval();
#endif
        if (accepted_) {
            ++moves_;
            if (!beat_) begin();
            beat_ = (beat_ + 1) % options_.in_beats;
            accepted_ = !beat_;
            if (accepted_) accept();
        }
        sample(take);
        edge();
        return moves_ != before;
    }

    // What the port carries of a vector now.
    const uint32_t *beat(const uint32_t *words) {
        if (options_.in_beats == 1) return words;
        const std::size_t bits = options_.in_bits / options_.in_beats;
        cut(words, beat_ * bits, bits, offered_.data());
        return offered_.data();
    }

    // Whether the oldest result is to wait in this cycle.
    bool stall() {
        if (schedule_.empty()) return options_.stalls && gappy() && random_.one_in(options_.gaps);
        return !flying_.empty() && held_for_ < schedule_[flying_.front().vector].stall;
    }

    void begin() {
        lone_ = flying_.empty() && recovered_;
        recovered_ = false;
        flying_.push_back({next_, counts.cycles});
    }

    void accept() {
        ++counts.accepted;
        // Buffers may fill faster than the design works, so intervals are judged once they are full.
        if (!options_.streams) paced(counts.accepted > options_.latency / options_.interval + 3);
    }

    // Of a stream it is not known how many vectors its queues take: their results tell the pace.
    void paced(bool full) {
        if (full && schedule_.empty() && (!options_.gaps || next_ < vectors_ / 2)) {
            const int64_t seen = counts.cycles - last_paced_;
            if (counts.interval_low < 0 || seen < counts.interval_low) counts.interval_low = seen;
            if (seen > counts.interval_high) counts.interval_high = seen;
        }
        last_paced_ = counts.cycles;
    }

    void sample(bool take) {
#ifdef NMP_READY
        if (stalled_) {
            get(top_.out_data, word_.data());
            if (!top_.out_valid || std::memcmp(word_.data(), held_.data(), 4 * options_.out_words)) ++counts.unstable;
        } else if (top_.out_valid && lone_ && out_beat_ + 1 == options_.out_beats) {  // its last beat: it is whole
            judge_time(counts.cycles - flying_.front().since);
        }
        stalled_ = top_.out_valid && !take;
        if (stalled_ && out_beat_ + 1 < options_.out_beats) lone_ = false;  // its last beat will be late
        if (stalled_) get(top_.out_data, held_.data()), ++held_for_;
        if (top_.out_valid && take) taken(false);
#else
        (void)take;
        if (top_.out_valid) taken(true);
#endif
    }

    // A beat of a result; with the last one it is whole.
    void taken(bool timed) {
        ++moves_;
        get(top_.out_data, word_.data());
        if (options_.out_beats > 1 && !flying_.empty()) {
            const std::size_t bits = options_.out_bits / options_.out_beats;
            paste(whole_.data(), out_beat_ * bits, bits, word_.data());
            out_beat_ = (out_beat_ + 1) % options_.out_beats;
            if (out_beat_) return;
        }
        result(timed, options_.out_beats > 1 ? whole_.data() : word_.data());
    }

    void judge_time(int64_t seen) {
        lone_ = false;
        if (seen != options_.latency && counts.mistimed++ == 0) counts.first_mistimed = flying_.front().vector;
    }

    void result(bool timed, const uint32_t *words) {
        held_for_ = 0;
        if (flying_.empty()) {
            ++counts.unexpected;
            return;
        }
        const int64_t seen = counts.cycles - flying_.front().since;
        if (counts.latency_seen < 0) counts.latency_seen = seen;
        if (timed) judge_time(seen);
        std::memcpy(&results_[flying_.front().vector * options_.out_words], words, 4 * options_.out_words);
        states_[flying_.front().vector] = 1;
        flying_.pop_front();
        ++counts.results;
        if (options_.streams) paced(counts.results > 3);
    }

    Vtop top_;
    Options options_;
    std::vector<uint32_t> inputs_, held_, word_, garbage_, whole_, offered_;
    std::vector<Step> schedule_;
    Random random_;
    std::size_t vectors_, next_ = 0, beat_ = 0, out_beat_ = 0;
    int64_t moves_ = 0;  // beats, in and out
    std::deque<Flight> flying_;
    uint32_t held_for_ = 0;
    int64_t last_paced_ = 0;
    bool stalled_ = false, accepted_ = false, recovered_ = false, lone_ = false;
};

int native(int argc, char **argv) {
    if (argc != 19 && argc != 20) fail("--native takes 17 or 18 arguments");
    int64_t numbers[13];
    for (int i = 0; i < 13; ++i) numbers[i] = std::strtoll(argv[6 + i], nullptr, 10);
    const Options options{static_cast<std::size_t>(numbers[0]), static_cast<std::size_t>(numbers[1]),
                          static_cast<std::size_t>(numbers[2]), numbers[3], numbers[4], numbers[5],
                          static_cast<uint64_t>(numbers[6]), static_cast<uint64_t>(numbers[7]),
                          static_cast<std::size_t>(numbers[8]), static_cast<std::size_t>(numbers[9]),
                          static_cast<std::size_t>(numbers[10]), numbers[11] != 0, numbers[12] != 0};
    Verilated::randReset(2);
    Verilated::randSeed(static_cast<int>(options.seed % 1000000) + 1);
    Harness harness(read_words(argv[2]), argc == 20 ? read_words(argv[19]) : std::vector<uint32_t>(), options);
    const auto start = std::chrono::steady_clock::now();
    harness.run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const Counts &c = harness.counts;
    write_all(argv[3], harness.results_.data(), 4 * harness.results_.size());
    write_all(argv[4], harness.states_.data(), harness.states_.size());
    char text[512];
    const int length = std::snprintf(
        text, sizeof text,
        "{\"accepted\": %lld, \"results\": %lld, \"flushed\": %lld, \"unexpected\": %lld, \"mistimed\": %lld, "
        "\"first_mistimed\": %lld, \"unstable\": %lld, \"latency_seen\": %lld, \"interval_low\": %lld, "
        "\"interval_high\": %lld, \"cycles\": %lld, \"loop_seconds\": %.6f}\n",
        (long long)c.accepted, (long long)c.results, (long long)c.flushed, (long long)c.unexpected,
        (long long)c.mistimed, (long long)c.first_mistimed, (long long)c.unstable, (long long)c.latency_seen,
        (long long)c.interval_low, (long long)c.interval_high, (long long)c.cycles, took.count());
    write_all(argv[5], text, static_cast<std::size_t>(length));
    return 0;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc > 1 && !std::strcmp(argv[1], "--native")) return native(argc, argv);
    return cocotb_main(argc, argv);
}
