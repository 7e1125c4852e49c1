// From ids to the rows that they name: addresses, scales, prefetching.
#pragma once
#include "common.h"

enum scale_kind { CONSTANT, GROUPED, OF_ROW };
enum { GROUPS = 16 };

typedef struct {
    const uint8_t *const *base;  // [F] where id 0 of each field would stand
    int32_t bits, bytes, mul, add;
} Part;

// `fields` are F, or with lists the C columns of ids, each of which is looked up as a field of its own. Their arrays are
// padded to `lanes`, F or C up to a multiple of 32.
typedef struct {
    int32_t fields, dim, lanes, kind, has_hot, hashed;
    int32_t fixed, plain;  // no id decides a scale; all scales are 1 and all rows are floats that are multiplied as they are
    int32_t vectors, singles, lists, unused;  // F in any case; fields of one id each, and the lists behind them
    Part parts[2];  // cold, hot
    const uint32_t *cardinality, *rows, *hot_rows;
    const float *scale, *hot_scale;           // [lanes], or [lanes][GROUPS]
    const uint16_t *row_scale, *row_bias;     // float16 [cold rows] or NULL
    const int64_t *cold_offset;               // [F]
    const int32_t *group_starts;              // [F][GROUPS], the last INT32_MAX
    const float *pair_scale;                  // what each product is multiplied by, where it is fixed; else NULL
    const int32_t *widths;                    // [lists]: columns of each
} Table;

// The rows of one row of the batch.
typedef struct {
    const uint8_t **at;   // [lanes]
    uint32_t *id;         // [lanes]
    int32_t *hot;         // [lanes]
    float *share;         // [lanes]: of an item in the mean of its list; 0 for no item
} Rows;

INLINE void prefetch(const void *p, int64_t bytes) {
    for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch((const char *)p + b);
}

static void known_ids(const Table *t, const int32_t *restrict ids, uint32_t *restrict to) {
    const uint32_t *restrict cardinality = t->cardinality, *restrict rows = t->rows;
    for (int f = 0; f < t->fields; f++) {
        uint32_t id = (uint32_t)ids[f];
        to[f] = id < cardinality[f] ? id : 0;  // a negative id is a large one here
    }
    if (t->hashed)
        for (int f = 0; f < t->fields; f++) if (to[f] >= rows[f]) to[f] %= rows[f];
}

// Whether column number c of a list is an item: the first one always is.
INLINE int is_item(const int32_t *list, int c) { return !c || list[c] >= 0; }

INLINE int items(const int32_t *list, int width) {
    int count = 0;
    for (int c = 0; c < width; c++) count += is_item(list, c);
    return count;
}

static void find_shares(const Table *t, const int32_t *ids, float *share) {
    int at = t->singles;
    for (int l = 0; l < t->lists; at += t->widths[l++]) {
        float each = 1.0f / (float)items(ids + at, t->widths[l]);
        for (int c = 0; c < t->widths[l]; c++) share[at + c] = is_item(ids + at, c) ? each : 0;
    }
}

// Find the rows of a row of ids, and fetch them.
static void find_rows(const Table *t, const int32_t *ids, Rows *r) {
    known_ids(t, ids, r->id);
    if (t->lists) find_shares(t, ids, r->share);
    int64_t cold = t->parts[0].bytes, hot = t->parts[1].bytes;
    if (t->has_hot)
        for (int f = 0; f < t->fields; f++) {
            uint32_t is_hot = r->id[f] < t->hot_rows[f];
            const uint8_t *c = t->parts[0].base[f] + r->id[f] * cold, *h = t->parts[1].base[f] + r->id[f] * hot;
            r->hot[f] = (int32_t)is_hot;
            r->at[f] = is_hot ? h : c;
            prefetch(r->at[f], cold > hot ? cold : hot);
        }
    else
        for (int f = 0; f < t->fields; f++) {
            r->at[f] = t->parts[0].base[f] + r->id[f] * cold;
            prefetch(r->at[f], cold);
        }
    if (t->kind == OF_ROW)
        for (int f = 0; f < t->fields; f++) {
            prefetch(t->row_scale + t->cold_offset[f] + r->id[f], 1);
            if (t->row_bias) prefetch(t->row_bias + t->cold_offset[f] + r->id[f], 1);
        }
}

INLINE float half_to_float(uint16_t h) {
#if defined(__F16C__)
    return _cvtsh_ss(h);
#else
    union { uint32_t i; float f; } bits = {((uint32_t)(h & 0x7FFF) << 13) + 0x38000000u};
    if ((h & 0x7C00) == 0x7C00) bits.i += 0x38000000u;  // infinite or no number
    if (!(h & 0x7C00)) bits.f = (float)(h & 0x3FF) * 5.9604644775390625e-8f;  // below the smallest normal half: steps of 2^-24
    bits.i |= (uint32_t)(h & 0x8000) << 16;
    return bits.f;
#endif
}

INLINE float group_scale(const Table *t, int f, uint32_t id) {
    const int32_t *starts = t->group_starts + f * GROUPS;
    int group = 0;
#if defined(__AVX2__)
    __m256i x = _mm256_set1_epi32((int32_t)id);
    __m256i a = _mm256_cmpgt_epi32(_mm256_loadu_si256((const void *)starts), x);
    __m256i b = _mm256_cmpgt_epi32(_mm256_loadu_si256((const void *)(starts + 8)), x);
    group = GROUPS - __builtin_popcount((unsigned)_mm256_movemask_epi8(_mm256_packs_epi32(a, b))) / 2;
#else
    for (int g = 0; g < GROUPS - 1; g++) group += starts[g] <= (int32_t)id;
#endif
    return t->scale[f * GROUPS + group];
}

// The scale of each row at hand, and the bias of its values (0 without). Which rows are hot can't be foreseen: no branch.
INLINE void row_scales_of(const Table *t, const Rows *r, const int kind, float *scale, float *bias) {
    for (int f = 0; f < t->fields; f++) {
        int hot = t->has_hot ? r->hot[f] : 0;
        int64_t row = kind == OF_ROW && !hot ? t->cold_offset[f] + r->id[f] : 0;
        float cold;
        if (kind == CONSTANT) cold = t->scale[f];
        else if (kind == GROUPED) cold = group_scale(t, f, r->id[f]);
        else cold = half_to_float(t->row_scale[row]);
        float choice[2] = {cold, t->hot_scale[f]};
        scale[f] = choice[hot];
        bias[f] = t->row_bias && !hot ? half_to_float(t->row_bias[row]) : 0;
    }
}

static void row_scales(const Table *t, const Rows *r, float *scale, float *bias) {
    switch (t->kind) {
        case CONSTANT: row_scales_of(t, r, CONSTANT, scale, bias); break;
        case GROUPED: row_scales_of(t, r, GROUPED, scale, bias); break;
        default: row_scales_of(t, r, OF_ROW, scale, bias);
    }
}

// 8 codes of `bits` bits (1, 2, 4 or 8) as bytes, the first one in the lowest. Reads up to 7 bytes beyond them.
INLINE uint64_t eight_codes(const uint8_t *at, int bits) {
    uint64_t packed;
    memcpy(&packed, at, 8);
#if defined(__BMI2__)
    const uint64_t each = 0x0101010101010101u;
    return _pdep_u64(packed, each * ((1u << bits) - 1));
#else
    if (bits == 8) return packed;
    uint64_t codes = 0;
    for (int j = 0; j < 8; j++) codes |= (packed >> (bits * j) & ((1u << bits) - 1)) << (8 * j);
    return codes;
#endif
}
