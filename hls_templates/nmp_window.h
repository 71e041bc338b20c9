#ifndef NMP_WINDOW_H_
#define NMP_WINDOW_H_

// Windows over streams of pixels, for layers that do the same at every position of a map. A pixel is a pack of all its
// channels; a map comes row by row.

#include "hls_stream.h"
#include "nmp_grouped_dense.h"

namespace nmp {

// The channels of a pack, one after the other, from AT on: the next channel's place.
template <class element_T, class pack_T> unsigned unpack(const pack_T &pack, element_T *pixel, unsigned at) {
#pragma HLS INLINE
    for (unsigned c = 0; c < pack_T::size; c++) {
#pragma HLS UNROLL
        pixel[at + c] = pack[c];
    }
    return at + pack_T::size;
}

// The pixels under a window that slides, with zeros around the map. CONFIG has the map's height, width and channels,
// the zeros above and left of it, the full height and width with all zeros, and the window's reach, size, stride and
// dilation in rows and columns.
template <class CONFIG, class element_T> struct window {
    element_T lines[CONFIG::reach_rows > 1 ? CONFIG::reach_rows - 1 : 1][CONFIG::full_width][CONFIG::channels];
    element_T seen[CONFIG::reach_rows][CONFIG::reach_columns][CONFIG::channels];

    static bool inside(unsigned row, unsigned column) {
#pragma HLS INLINE
        return row >= CONFIG::top && row < CONFIG::top + CONFIG::height && column >= CONFIG::left &&
               column < CONFIG::left + CONFIG::width;
    }

    static bool lands(unsigned row, unsigned column) {
#pragma HLS INLINE
        return row + 1 >= CONFIG::reach_rows && column + 1 >= CONFIG::reach_columns &&
               (row + 1 - CONFIG::reach_rows) % CONFIG::stride_rows == 0 &&
               (column + 1 - CONFIG::reach_columns) % CONFIG::stride_columns == 0;
    }

    // The next pixel, or a zero beside the map.
    void enter(const element_T pixel[CONFIG::channels], unsigned column) {
#pragma HLS INLINE
        for (unsigned r = 0; r < CONFIG::reach_rows; r++) {
#pragma HLS UNROLL
            for (unsigned c = 0; c + 1 < CONFIG::reach_columns; c++) {
#pragma HLS UNROLL
                for (unsigned k = 0; k < CONFIG::channels; k++) {
#pragma HLS UNROLL
                    seen[r][c][k] = seen[r][c + 1][k];
                }
            }
        }
        const unsigned last = CONFIG::reach_rows - 1;
        for (unsigned k = 0; k < CONFIG::channels; k++) {
#pragma HLS UNROLL
            for (unsigned r = 0; r < last; r++) {
#pragma HLS UNROLL
                const element_T above = lines[r][column][k];
                seen[r][CONFIG::reach_columns - 1][k] = above;
                if (r > 0)
                    lines[r - 1][column][k] = above;
            }
            seen[last][CONFIG::reach_columns - 1][k] = pixel[k];
            if (last > 0)
                lines[last - 1][column][k] = pixel[k];
        }
    }

    // What the layer sees: by place, then by channel.
    void look(element_T x[CONFIG::rows * CONFIG::columns * CONFIG::channels]) const {
#pragma HLS INLINE
        for (unsigned r = 0; r < CONFIG::rows; r++) {
#pragma HLS UNROLL
            for (unsigned c = 0; c < CONFIG::columns; c++) {
#pragma HLS UNROLL
                for (unsigned k = 0; k < CONFIG::channels; k++) {
#pragma HLS UNROLL
                    x[(r * CONFIG::columns + c) * CONFIG::channels + k] =
                        seen[r * CONFIG::dilation_rows][c * CONFIG::dilation_columns][k];
                }
            }
        }
    }
};

// The largest of each channel.
template <class CONFIG, class element_T, class res_T>
void largest(const element_T x[CONFIG::rows * CONFIG::columns * CONFIG::channels], res_T y[CONFIG::channels]) {
#pragma HLS INLINE
    for (unsigned k = 0; k < CONFIG::channels; k++) {
#pragma HLS UNROLL
        element_T most = x[k];
        for (unsigned p = 1; p < CONFIG::rows * CONFIG::columns; p++) {
#pragma HLS UNROLL
            if (x[p * CONFIG::channels + k] > most)
                most = x[p * CONFIG::channels + k];
        }
        y[k] = most;
    }
}

} // namespace nmp

#endif
