// What every part of the engine shares: the structures that engine.py fills, and the end of a layer.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(64)))
enum { PANEL = 16, PREFETCH = 2 };  // outputs of a weight panel; rows of a batch by which table rows are fetched ahead

// The order is that of KERNELS in kernels.py.
enum kernel { F32, INT_LOOPS, INT_MADD16, INT_MADDUBS, INT_VNNI, INT_AMX, BIT_LOOPS, BIT_VPOPCNT, BIT_LOOKUP, CODE_LOOKUP };
enum input { FLOATS, CODES, SIGNS };
enum { ONE_ROW, FEW_ROWS, MANY_ROWS, ROW_CLASSES };

// One way to run a layer: acc[n] = scale * S[n] + row_scale * (sum of the row's codes) + correction[n].
typedef struct {
    int32_t kernel;
    int32_t steps;  // products of INT_MADDUBS that an int16 holds
    int32_t scale, row_scale;
    int32_t small, unused;  // whether all sums are below 2^24, which floats hold exactly
    const void *weights;
    const int32_t *correction;      // [padded]
    const float *float_correction;  // the same
} Way;

// Signs of T thresholds stand in T sections; each but the last is padded to a multiple of 32.
typedef struct {
    int32_t input, inputs, sections, section, depth;  // depth: all codes of a row, padding between sections included
    int32_t outputs, padded;                          // N, and N up to a multiple of 32
    int32_t mul, add;                                 // the whole number of a code c
    float low, high, slope, unused;                   // slope 1: no PReLU
    const float *scale, *shift, *threshold;           // [K], [K], [T, K]; scale and shift are padded to 16
    const float *gain, *bias;                         // [padded]
    Way ways[ROW_CLASSES];
} Layer;

static inline int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

enum { RESIDENT = 16 * 1024 };  // bytes of weights that stay in a first-level cache beside inputs and outputs

// How many outputs all rows meet before the next outputs come: as many as stay in the cache, a multiple of `unit`.
INLINE int64_t outputs_at_once(int64_t bytes_of_unit, int64_t unit) {
    return bytes_of_unit < RESIDENT ? RESIDENT / bytes_of_unit * unit : unit;
}

INLINE float finish(float acc, float gain, float bias, float slope) {
    float y = acc * gain + bias;
    return y >= 0 ? y : slope * y;
}

// y[0..count) of one row from the sums S.
INLINE void finish_sums(const Layer *l, const Way *w, const int32_t *sums, int32_t row_sum, int64_t n, int64_t count, float *y) {
    int32_t row = w->row_scale * row_sum;
    for (int64_t o = 0; o < count; o++) {
        int32_t acc = w->scale * sums[o] + w->correction[n + o] + row;
        y[o] = finish((float)acc, l->gain[n + o], l->bias[n + o], l->slope);
    }
}

#if defined(__AVX2__)
INLINE __m256 finish8(__m256 acc, const Layer *l, int64_t n) {
    __m256 y = _mm256_add_ps(_mm256_mul_ps(acc, _mm256_loadu_ps(l->gain + n)), _mm256_loadu_ps(l->bias + n));
    return _mm256_blendv_ps(y, _mm256_mul_ps(y, _mm256_set1_ps(l->slope)), y);  // by the sign
}

INLINE void finish_small8(const Layer *l, const Way *w, __m256i sums, float row, int64_t n, float *y) {
    __m256 start = _mm256_add_ps(_mm256_loadu_ps(w->float_correction + n), _mm256_set1_ps(row));
    _mm256_storeu_ps(y, finish8(_mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps((float)w->scale), start), l, n));
}

INLINE void finish_sums8(const Layer *l, const Way *w, __m256i sums, int32_t row_sum, int64_t n, float *y) {
    int32_t row = w->row_scale * row_sum;
    if (w->small) { finish_small8(l, w, sums, (float)row, n, y); return; }
    __m256i acc = _mm256_mullo_epi32(sums, _mm256_set1_epi32(w->scale));
    acc = _mm256_add_epi32(acc, _mm256_loadu_si256((const void *)(w->correction + n)));
    acc = _mm256_add_epi32(acc, _mm256_set1_epi32(row));
    _mm256_storeu_ps(y, finish8(_mm256_cvtepi32_ps(acc), l, n));
}
#endif
#if defined(__AVX512F__)
INLINE __m512 finish16(__m512 acc, const Layer *l, int64_t n) {
    __m512 y = _mm512_add_ps(_mm512_mul_ps(acc, _mm512_loadu_ps(l->gain + n)), _mm512_loadu_ps(l->bias + n));
    return _mm512_mask_mul_ps(y, _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_LT_OQ), y, _mm512_set1_ps(l->slope));
}

INLINE void finish_sums16(const Layer *l, const Way *w, __m512i sums, int32_t row_sum, int64_t n, float *y) {
    __m512i acc = _mm512_mullo_epi32(sums, _mm512_set1_epi32(w->scale));
    acc = _mm512_add_epi32(acc, _mm512_loadu_si512(w->correction + n));
    acc = _mm512_add_epi32(acc, _mm512_set1_epi32(w->row_scale * row_sum));
    _mm512_storeu_ps(y, finish16(_mm512_cvtepi32_ps(acc), l, n));
}
#endif

// A loop that is unrolled whatever its body, so that arrays that it indexes stay in registers.
#define EACH(i, count) _Pragma("GCC unroll 16") for (int i = 0; i < (count); i++)

// Keeps loads of later rows behind this place: hoisted ones would push the sums out of the registers.
#ifndef IN_ORDER
#define IN_ORDER() __asm__ volatile("" ::: "memory")
#endif

// Call tile(R, ...) with a constant for the R rows at hand, so that it is unrolled; more rows than the tile has are cut.
#define ROWS_1_TO_3(rows, CALL) \
    switch (rows) { case 1: CALL(1); break; case 2: CALL(2); break; default: CALL(3); }
#define ROWS_1_TO_4(rows, CALL) \
    switch (rows) { case 1: CALL(1); break; case 2: CALL(2); break; case 3: CALL(3); break; default: CALL(4); }
#define ROWS_1_TO_6(rows, CALL) \
    switch (rows) { case 1: CALL(1); break; case 2: CALL(2); break; case 3: CALL(3); break; \
                    case 4: CALL(4); break; case 5: CALL(5); break; default: CALL(6); }
