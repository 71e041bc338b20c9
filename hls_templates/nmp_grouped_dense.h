#ifndef NMP_GROUPED_DENSE_H_
#define NMP_GROUPED_DENSE_H_

// Building blocks of grouped dense layers: every neuron has its own sum and output format, every group of neurons
// its own weight type. All arithmetic is on integer mantissas and exact; the layers between only carry containers.

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"
#include "nnet_common.h"

// Weights synthesize in their group's own type. A C++ compiler gets the same integers as plain constants, because it
// takes minutes over an array of class constructors; they pass through the group's type where they are used.
#ifdef __SYNTHESIS__
#define NMP_WEIGHTS(type, plain) static const type
#else
#define NMP_WEIGHTS(type, plain) static const plain
#endif

namespace nmp {

enum rounding { TRN, RND, RND_CONV };

// Mantissa of a layer's input element: it lies at bit AT of its container and is put back on the layer's common grid.
template <class x_T, class mantissa_T, int AT, class data_T> x_T take(const data_T &element) {
#pragma HLS INLINE
    mantissa_T mantissa = element.range(AT + mantissa_T::width - 1, AT);
    x_T x = mantissa;
    return x << AT;
}

// A mantissa as the value it stands for: at bit AT of a container wide enough for the whole layer.
template <class res_T, int AT, class mantissa_T> res_T place(const mantissa_T &mantissa) {
#pragma HLS INLINE
    ap_int<res_T::width> bits = mantissa;
    bits <<= AT;
    res_T y;
    y.range(res_T::width - 1, 0) = bits;
    return y;
}

// x times weight. Weights of one and two bits select instead of multiplying.
template <class x_T> ap_int<x_T::width + 1> product(const x_T &x, const ap_uint<1> &negative) { // -1 or +1
#pragma HLS INLINE
    ap_int<x_T::width + 1> p = x;
    if (negative == 1)
        p = -p;
    return p;
}

template <class x_T> ap_int<x_T::width + 2> product(const x_T &x, const ap_int<2> &weight) { // -2, -1, 0, +1
#pragma HLS INLINE
    ap_int<x_T::width + 2> p = 0;
    if (weight[0] == 1)
        p = x;
    if (weight[1] == 1)
        p -= ap_int<x_T::width + 2>(x) << 1;
    return p;
}

template <class x_T, int BITS> ap_int<x_T::width + BITS> product(const x_T &x, const ap_int<BITS> &weight) {
#pragma HLS INLINE
    return x * weight;
}

// start plus the weighted sum of N inputs, FIRST, FIRST + STEP, ..., modulo the width of sum_T: exact, since the
// complete sum fits. DROP is the number of grid bits no input of this neuron uses, UP the bits only its bias uses.
template <class weight_T, int DROP, int UP, unsigned N, unsigned STEP, class x_T, class plain_T, class sum_T>
sum_T dot(const x_T *x, const plain_T *row, unsigned first, const sum_T &start) {
#pragma HLS INLINE
    sum_T sum = start;
    for (unsigned i = 0; i < N; i++) {
#pragma HLS UNROLL
        const weight_T weight = row[first + i * STEP];
        const x_T term = x[first + i * STEP] >> DROP;
        sum += sum_T(product(term, weight)) << UP;
    }
    return sum;
}

// Drop DROP fraction bits of an exact sum (append zeros where negative) and saturate to low..high.
// SATURATE_LOW and SATURATE_HIGH are false where the sum cannot reach beyond, and where it is to wrap into out_T.
template <class out_T, int DROP, rounding MODE, bool SATURATE_LOW, bool SATURATE_HIGH, class sum_T>
out_T quantize(const sum_T &sum, long long low, long long high) {
#pragma HLS INLINE
    const int RIGHT = DROP > 0 ? DROP : 0;
    const int LEFT = DROP < 0 ? -DROP : 0;
    const int SUM = DROP > sum_T::width ? DROP : sum_T::width + LEFT;
    typedef ap_int<(SUM > out_T::width ? SUM : out_T::width) + 2> wide_T;
    wide_T wide = sum;
    wide_T result = wide << LEFT;
    if (RIGHT > 0) {
        const wide_T half = wide_T(1) << (RIGHT > 0 ? RIGHT - 1 : 0);
        result = (MODE == TRN ? wide : wide_T(wide + half)) >> RIGHT;
        if (MODE == RND_CONV) {
            const wide_T rest = wide & wide_T((half << 1) - 1);
            if (rest == half && result[0] == 1)
                result -= 1; // a tie goes to the even neighbour
        }
    }
    if (SATURATE_LOW && result < wide_T(low))
        result = low;
    if (SATURATE_HIGH && result > wide_T(high))
        result = high;
    return result;
}

// Index of the largest element, the first one on a tie.
template <class data_T, class res_T, unsigned N> void argmax(data_T logits[N], res_T index[1]) {
#pragma HLS INLINE
    data_T best = logits[0];
    index[0] = 0;
    for (unsigned i = 1; i < N; i++) {
#pragma HLS UNROLL
        if (logits[i] > best) {
            best = logits[i];
            index[0] = i;
        }
    }
}

// All N elements of a vector, which may come in several packs.
template <unsigned N, class pack_T> void read(hls::stream<pack_T> &in, typename pack_T::value_type x[N]) {
#pragma HLS INLINE
    for (unsigned i = 0; i < N / pack_T::size; i++) {
        const pack_T pack = in.read();
        for (unsigned j = 0; j < pack_T::size; j++) {
#pragma HLS UNROLL
            x[i * pack_T::size + j] = pack[j];
        }
    }
}

template <unsigned N, class pack_T> void write(const typename pack_T::value_type y[N], hls::stream<pack_T> &out) {
#pragma HLS INLINE
    for (unsigned i = 0; i < N / pack_T::size; i++) {
        pack_T pack;
        PRAGMA_DATA_PACK(pack)
        for (unsigned j = 0; j < pack_T::size; j++) {
#pragma HLS UNROLL
            pack[j] = y[i * pack_T::size + j];
        }
        out.write(pack);
    }
}

template <class data_T, class res_T, unsigned N> void argmax(hls::stream<data_T> &logits, hls::stream<res_T> &index) {
#pragma HLS PIPELINE
    typename data_T::value_type x[N];
    typename res_T::value_type y[1];
#pragma HLS ARRAY_PARTITION variable=x complete
    read<N>(logits, x);
    argmax<typename data_T::value_type, typename res_T::value_type, N>(x, y);
    write<1>(y, index);
}

} // namespace nmp

#endif
