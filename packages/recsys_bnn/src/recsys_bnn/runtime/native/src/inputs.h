// A layer's inputs: floats to the codes, signs or floats that its kernel reads.
#pragma once
#include "common.h"

// How a kernel reads its inputs.
enum form { AS_FLOATS, AS_INT16, AS_BYTES, AS_WORDS, AS_NIBBLES };

static enum form form_of(int32_t kernel) {
    switch (kernel) {
        case F32: return AS_FLOATS;
        case INT_LOOPS: case INT_MADD16: return AS_INT16;
        case BIT_LOOPS: case BIT_VPOPCNT: return AS_WORDS;
        case BIT_LOOKUP: return AS_NIBBLES;
        default: return AS_BYTES;
    }
}

// Bytes from one row of prepared inputs to the next.
static int64_t row_bytes(const Layer *l, enum form form) {
    int64_t depth = up(l->depth, 64);
    switch (form) {
        case AS_FLOATS: return 4 * depth;
        case AS_INT16: return 2 * depth;
        case AS_BYTES: return depth;
        case AS_WORDS: return depth / 8;
        default: return depth / 4;
    }
}

// clamp(rint(x * scale + shift), low, high): adding 1.5 * 2^23 rounds halves to even. NaN becomes low.
INLINE int32_t code(float x, float scale, float shift, float low, float high) {
    float v = x * scale + shift;
    v = v > low ? v : low;
    v = v < high ? v : high;
    union { float f; int32_t i; } rounded = {v + 12582912.0f};
    return rounded.i - 0x4B400000;
}

// Codes less their lowest, and their sum. Behind K, scale is 0 and shift is low.
#define DEFINE_CODES(NAME, TYPE)                                                                          \
    static int32_t NAME(const Layer *l, const float *restrict x, TYPE *restrict to) {                     \
        const float *restrict scale = l->scale, *restrict shift = l->shift;                               \
        float low = l->low, high = l->high;                                                               \
        int32_t least = (int32_t)low, sum = 0, padded = (int32_t)up(l->inputs, 16), end = (int32_t)up(l->depth, 64); \
        for (int32_t k = 0; k < padded; k++) {                                                            \
            int32_t u = code(x[k], scale[k], shift[k], low, high) - least;                                \
            to[k] = (TYPE)u;                                                                              \
            sum += u;                                                                                     \
        }                                                                                                 \
        for (int32_t k = padded; k < end; k++) to[k] = 0;                                                 \
        return sum;                                                                                       \
    }
DEFINE_CODES(codes_to_bytes, uint8_t)
DEFINE_CODES(codes_to_int16, int16_t)

static void codes_to_floats(const Layer *l, const float *restrict x, float *restrict to) {
    const float *restrict scale = l->scale, *restrict shift = l->shift;
    float low = l->low, high = l->high;
    int32_t mul = l->mul, add = l->add, inputs = l->inputs;
    for (int32_t k = 0; k < inputs; k++) to[k] = (float)(code(x[k], scale[k], shift[k], low, high) * mul + add);
}

// 32 signs as bits, those at and behind `count` 0.
INLINE uint32_t signs32(const float *x, const float *threshold, int64_t count) {
    uint32_t bits = 0;
#if defined(__AVX512F__)
    bits = _mm512_cmp_ps_mask(_mm512_loadu_ps(x), _mm512_loadu_ps(threshold), _CMP_GE_OQ);
    bits |= (uint32_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(threshold + 16), _CMP_GE_OQ) << 16;
#elif defined(__AVX2__)
    __m256i ge[4];
    for (int j = 0; j < 4; j++)
        ge[j] = _mm256_castps_si256(_mm256_cmp_ps(_mm256_loadu_ps(x + 8 * j), _mm256_loadu_ps(threshold + 8 * j), _CMP_GE_OQ));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(ge[0], ge[1]), _mm256_packs_epi32(ge[2], ge[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    bits = (uint32_t)_mm256_movemask_epi8(bytes);
#else
    for (int j = 0; j < 32; j++) bits |= (uint32_t)(x[j] >= threshold[j]) << j;
#endif
    return count >= 32 ? bits : bits & ((1u << count) - 1);
}

INLINE void put_signs(uint32_t bits, int64_t at, enum form form, void *to) {
    if (form == AS_WORDS) memcpy((uint8_t *)to + at / 8, &bits, 4);
    else if (form == AS_NIBBLES) {
        uint8_t *nibbles = (uint8_t *)to + at / 4;
#if defined(__BMI2__)
        uint64_t spread = _pdep_u64(bits, 0xF0F0F0F0F0F0F0F0u);
        memcpy(nibbles, &spread, 8);
#else
        for (int j = 0; j < 8; j++) nibbles[j] = (uint8_t)((bits >> (4 * j) & 15) << 4);
#endif
    } else if (form == AS_BYTES) for (int j = 0; j < 32; j++) ((uint8_t *)to)[at + j] = bits >> j & 1;
    else if (form == AS_INT16) for (int j = 0; j < 32; j++) ((int16_t *)to)[at + j] = bits >> j & 1;
    else for (int j = 0; j < 32; j++) ((float *)to)[at + j] = (bits >> j & 1) ? 1.0f : -1.0f;
}

// Thresholds are stored with as many sections as they have; every section is readable 32 values beyond its end.
INLINE int32_t all_signs(const Layer *l, const float *x, enum form form, void *to) {
    int32_t sum = 0;
    int64_t stride = up(l->inputs, 32), end = up(l->depth, 64);
    for (int64_t t = 0; t < l->sections; t++)
        for (int64_t k = 0; k < l->inputs; k += 32) {
            uint32_t bits = signs32(x + k, l->threshold + t * stride + k, l->inputs - k);
            put_signs(bits, t * l->section + k, form, to);
            sum += __builtin_popcount(bits);
        }
    int64_t done = (l->sections - 1) * l->section + stride;
    if (done < end) put_signs(0, done, form, to);
    return sum;
}

static int32_t signs(const Layer *l, const float *x, enum form form, void *to) {
    switch (form) {  // a constant form in each branch
        case AS_WORDS: return all_signs(l, x, AS_WORDS, to);
        case AS_NIBBLES: return all_signs(l, x, AS_NIBBLES, to);
        case AS_BYTES: return all_signs(l, x, AS_BYTES, to);
        case AS_INT16: return all_signs(l, x, AS_INT16, to);
        default: return all_signs(l, x, AS_FLOATS, to);
    }
}

// Prepare n rows of x; the sums of their codes go to `sums`. Rows of x are readable 32 floats beyond their end.
static void prepare(const Layer *l, enum form form, const float *x, int64_t ldx, int64_t n, void *to, int32_t *sums) {
    int64_t stride = row_bytes(l, form);
    for (int64_t r = 0; r < n; r++) {
        void *row = (uint8_t *)to + r * stride;
        if (l->input == SIGNS) sums[r] = signs(l, x + r * ldx, form, row);
        else if (form == AS_BYTES) sums[r] = codes_to_bytes(l, x + r * ldx, row);
        else if (form == AS_INT16) sums[r] = codes_to_int16(l, x + r * ldx, row);
        else codes_to_floats(l, x + r * ldx, row);
    }
}
