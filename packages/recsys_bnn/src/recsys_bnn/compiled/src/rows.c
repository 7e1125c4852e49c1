// Raw rows to what a model reads: the loops over all bytes and cells of a log. Each does what a loop of Numba or NumPy
// does that stands beside its call in Python, bit by bit.
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

// ------------------------------------------------------------------------------------------------------------ lines

enum { LANES = 64, ROUNDS = 255 };  // a lane is a byte, which counts to 255

EXPORT int64_t rr_lines(const uint8_t *text, int64_t size) {
    int64_t count = 0, at = 0;
    while (size - at >= LANES) {
        uint8_t lanes[LANES] = {0};
        int64_t rounds = (size - at) / LANES < ROUNDS ? (size - at) / LANES : ROUNDS;
        for (int64_t r = 0; r < rounds; r++, at += LANES)
            for (int i = 0; i < LANES; i++) lanes[i] += text[at + i] == '\n';
        for (int i = 0; i < LANES; i++) count += lanes[i];
    }
    for (; at < size; at++) count += text[at] == '\n';
    return count;
}

// ------------------------------------------------------------------------------------------------------------ cells

static const uint64_t ONES = 0x0101010101010101u;

static inline uint64_t eight(const uint8_t *at) {
    uint64_t text;
    memcpy(&text, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    text = __builtin_bswap64(text);
#endif
    return text;
}

// Reads eight hexadecimal digits, lowercase alone, all at once; returns 0 if they are such. A letter has bit 6, and its
// value is its lower half plus 9. What is no digit does not spell itself again from its value, or has one that only
// letters, or no letters, have.
static inline uint64_t hexadecimal(uint64_t text, uint32_t *found) {
    uint64_t letter = (text >> 6) & ONES, value = (text & 15 * ONES) + 9 * letter;
    uint64_t spelled = '0' * ONES + value + ('a' - 10 - '0') * letter;
    uint64_t above_nine = ((value + 6 * ONES) >> 4) & ONES, above_fifteen = (value >> 4) & ONES;
    uint64_t bad = (spelled ^ text) | (above_nine ^ letter) | above_fifteen;
    value = (value << 4 | value >> 8) & 0x00FF00FF00FF00FFu;
    value = (value << 8 | value >> 16) & 0x0000FFFF0000FFFFu;
    *found = (uint32_t)(value << 16 | value >> 32);
    return bad;
}

// Reads a whole number of 32 bits up to the first byte that is no digit; returns the place of that byte, NULL if it is
// none. Nothing at all is the number 0. A byte that is no digit must follow.
static const uint8_t *any_whole(const uint8_t *at, int32_t *found) {
    bool negative = *at == '-';
    const uint8_t *first = at += negative;
    int64_t value = 0;
    for (uint8_t digit; (digit = (uint8_t)(*at - '0')) <= 9; at++) {
        value = value * 10 + digit;
        if (value > (int64_t)1 << 31) return NULL;
    }
    value = negative ? -value : value;
    if ((negative && at == first) || value > INT32_MAX) return NULL;
    *found = (int32_t)value;
    return at;
}

// The same. Up to seven digits are read at once: they are moved to the end of a word, behind zeros, then neighbours are
// joined to numbers below 100, and those to one.
static inline const uint8_t *whole(const uint8_t *at, const uint8_t *end, int32_t *found) {
    if (end - at < 8 || *at == '-') return any_whole(at, found);
    uint64_t digits = eight(at) ^ '0' * ONES;
    uint64_t others = ((digits + (0x80 - 10) * ONES) | digits) & 0x80 * ONES;  // right up to the first that is none
    if (!others) return any_whole(at, found);
    int count = __builtin_ctzll(others) >> 3;
    digits = digits << 8 << (56 - 8 * count);
    digits = digits * 10 + (digits >> 8);
    const uint64_t pairs = 0x000000FF000000FFu;
    uint64_t outer = (digits & pairs) * (100 + (1000000ull << 32)), inner = (digits >> 16 & pairs) * (1 + (10000ull << 32));
    *found = (int32_t)((outer + inner) >> 32);
    return at + count;
}

// ----------------------------------------------------------------------------------------------------------- Criteo

enum { INTEGERS = 13, CATEGORICALS = 26, FIELDS = INTEGERS + CATEGORICALS, DIGITS = 8 };

// Writes what is missing in up to eight rows, bits by field, as bits of what is valid by row.
static inline void put_valid(const uint64_t *missing, uint8_t *valid, int64_t bytes) {
    for (int first = 0; first < FIELDS; first += 8) {
        uint64_t x = 0;
        for (int row = 0; row < 8; row++) x |= (missing[row] >> first & 255) << 8 * row;
        // The transpose of 8x8 bits: Warren, Hacker's Delight, section 7-3.
        uint64_t t = (x ^ x >> 7) & 0x00AA00AA00AA00AAu;
        x ^= t ^ t << 7;
        t = (x ^ x >> 14) & 0x0000CCCC0000CCCCu;
        x ^= t ^ t << 14;
        t = (x ^ x >> 28) & 0x00000000F0F0F0F0u;
        x ^= t ^ t << 28;
        for (int field = first; field < FIELDS && field < first + 8; field++, x >>= 8) valid[field * bytes] = (uint8_t)~x;
    }
}

// Reads the cells of one row; returns the place behind it, NULL if it is none.
static inline const uint8_t *criteo_row(
    const uint8_t *at, const uint8_t *end, uint8_t *label, int32_t *integers, uint32_t *categoricals, int64_t rows,
    uint64_t *missing, bool labelled) {
    uint64_t gaps = 0;
    if (labelled) {
        *label = (uint8_t)(*at++ - '0');
        if (*label > 1) return NULL;
    }
    for (int field = 0; field < INTEGERS; field++) {
        if (labelled || field)
            if (*at++ != '\t') return NULL;
        const uint8_t *start = at;
        if (!(at = whole(at, end, integers + field * rows))) return NULL;
        gaps |= (uint64_t)(at == start) << field;
    }
    for (int field = 0; field < CATEGORICALS; field++) {
        if (*at++ != '\t') return NULL;
        uint32_t *key = categoricals + field * rows;
        if (*at == '\t' || *at == '\n' || *at == '\r') {
            *key = 0;
            gaps |= (uint64_t)1 << (INTEGERS + field);
            continue;
        }
        if (end - at <= DIGITS) return NULL;
        if (hexadecimal(eight(at), key)) return NULL;
        at += DIGITS;
    }
    // Every line ends with a line feed and no cell holds one, so nothing beyond the text is read.
    at += *at == '\r';
    *missing = gaps;
    return *at == '\n' ? at + 1 : NULL;
}

static inline bool criteo_rows(
    const uint8_t *at, const uint8_t *end, int64_t rows, int64_t bytes, uint8_t *labels, int32_t *integers,
    uint32_t *categoricals, uint8_t *valid, bool labelled) {
    for (int64_t first = 0; first < rows; first += 8) {
        uint64_t missing[8] = {0};
        for (int64_t row = first; row < rows && row < first + 8; row++) {
            at = criteo_row(
                at, end, labels + row, integers + row, categoricals + row, rows, missing + row - first, labelled);
            if (!at) return false;
        }
        put_valid(missing, valid + first / 8, bytes);
    }
    return at == end;
}

// Fills the columns: labels [rows], integers [13, rows], categoricals [26, rows], and valid [39, bytes], bitmaps.
// Returns 0 at the first row that is not as expected. `rows` is the number of line feeds; the last byte is one.
EXPORT int rr_criteo(
    const uint8_t *text, int64_t size, int64_t rows, int64_t bytes, uint8_t *labels, int32_t *integers,
    uint32_t *categoricals, uint8_t *valid, int labelled) {
    const uint8_t *end = text + size;
    return labelled ? criteo_rows(text, end, rows, bytes, labels, integers, categoricals, valid, true)
                    : criteo_rows(text, end, rows, bytes, labels, integers, categoricals, valid, false);
}

// -------------------------------------------------------------------------------------------------- delimited tables

// One column of a table of text, and what becomes of it.
typedef struct {
    int32_t kind, unused;
    int64_t missing;    // is set: empty cells of a column of numbers
    uint32_t *values;   // [rows] of a column of numbers
    uint8_t *valid;     // its bitmap, of which all bits are set before
    int32_t *ends;      // [rows + 1] of a column of texts
    uint8_t *letters;   // all of them
} Cells;

enum { SKIPPED, TEXTS, HEX, WHOLE, INDEX };

// Reads libFM's `index:1`, as the expression in recsys_bnn.data.formats.libfm does.
static bool feature(const uint8_t *at, const uint8_t *end, uint32_t *found) {
    const uint8_t *first = at;
    uint32_t value = 0;
    for (; at < end && at - first < 10 && (uint8_t)(*at - '0') <= 9; at++) value = value * 10 + (uint8_t)(*at - '0');
    if (at == first || at - first > 9 || end - at < 2 || at[0] != ':' || at[1] != '1') return false;
    at += 2;
    if (at < end && *at++ != '.') return false;
    while (at < end && *at == '0') at++;
    *found = value;
    return at == end;
}

static inline bool number(Cells *c, const uint8_t *at, const uint8_t *end, const uint8_t *beyond, int64_t row) {
    uint32_t *value = c->values + row;
    if (c->kind == INDEX) return feature(at, end, value);
    if (at == end) {
        *value = 0;
        c->valid[row >> 3] &= (uint8_t)~(1 << (row & 7));
        c->missing++;
        return true;
    }
    if (c->kind == HEX) return end - at == DIGITS && !hexadecimal(eight(at), value);
    return whole(at, beyond, (int32_t *)value) == end;
}

// Fills columns from `rows` lines, each with its line feed, of `count` cells; returns 0 where that is not certainly a
// table, 3 if a byte is beyond ASCII, else 1. Nothing is known of UTF-8 then.
EXPORT int rr_table(
    const uint8_t *text, int64_t size, int64_t rows, Cells *columns, int64_t count, int separator, int quoted) {
    const uint8_t *at = text, *beyond = text + size;
    uint8_t seen = 0, ends[256] = {['\0'] = 1, ['\n'] = 1, ['\r'] = 1, ['"'] = (uint8_t)quoted};
    if (ends[separator]++) return 0;
    for (int64_t i = 0; i < count; i++) {
        columns[i].missing = 0;
        if (columns[i].kind == TEXTS) columns[i].ends[0] = 0;
    }
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < count; i++) {
            const uint8_t *first = at;
            while (!ends[*at]) seen |= *at++;
            const uint8_t *end = at;
            if (i + 1 < count) {
                if (*at++ != separator) return 0;
            } else {
                at += *at == '\r';
                if (*at++ != '\n' || (count == 1 && first == end)) return 0;  // a blank line
            }
            Cells *c = columns + i;
            if (c->kind == TEXTS) {
                int32_t start = c->ends[row];
                memcpy(c->letters + start, first, (size_t)(end - first));
                c->ends[row + 1] = start + (int32_t)(end - first);
            } else if (c->kind != SKIPPED && !number(c, first, end, beyond, row)) {
                return 0;
            }
        }
    return at != beyond ? 0 : seen & 0x80 ? 3 : 1;
}

// --------------------------------------------------------------------------------------------------- keys and counts

// A slot of an open-addressing table, as recsys_bnn.data.id_table describes it.
typedef struct {
    uint32_t key;
    int32_t id;
} Slot;

enum { FREE = -1, UNKNOWN = 0, MISSING = 1 };

static inline uint64_t home(uint32_t key, uint64_t last) { return (key * 0x9E3779B97F4A7C15u) >> 32 & last; }

static inline Slot *slot_of(uint32_t key, uint64_t at, Slot *slots, uint64_t last) {
    while (slots[at].id != FREE && slots[at].key != key) at = (at + 1) & last;
    return slots + at;
}

EXPORT void rr_fill(const uint32_t *keys, const int32_t *ids, int64_t count, Slot *slots, int64_t size) {
    uint64_t last = (uint64_t)size - 1;
    for (int64_t i = 0; i < count; i++) *slot_of(keys[i], home(keys[i], last), slots, last) = (Slot){keys[i], ids[i]};
}

// What is known of one column of raw values, and what they become.
typedef struct {
    const void *values;
    const uint8_t *valid;  // a bitmap, NULL where nothing is missing
    const void *table;     // slots of keys, or the numbers that small counts become
    int64_t offset;        // of the first value in the bitmap
    int64_t size;          // of the table
    int32_t kind;
    int32_t odd;           // is set: whether a count is beyond the table, and still to be written
} Column;

enum { READY, KEYS, COUNTS32, COUNTS64 };  // ready: four bytes a value, only to be put in their place
enum { TILE = 256 };                       // rows of all columns at once, so that they stay in the cache

static inline bool there(const Column *c, int64_t row) {
    int64_t bit = row + c->offset;
    return !c->valid || c->valid[bit >> 3] >> (bit & 7) & 1;
}

static void put_ready(const Column *c, int64_t first, int64_t rows, uint32_t *out, int64_t stride) {
    const uint32_t *values = (const uint32_t *)c->values + first;
    for (int64_t r = 0; r < rows; r++) out[r * stride] = values[r];
}

static void put_ids(const Column *c, int64_t first, int64_t rows, int32_t *out, int64_t stride) {
    const uint32_t *keys = (const uint32_t *)c->values + first;
    Slot *slots = (Slot *)(uintptr_t)c->table;
    uint64_t last = (uint64_t)c->size - 1, homes[TILE];
    for (int64_t r = 0; r < rows; r++) {  // slots of a large table come from memory, all at once
        homes[r] = home(keys[r], last);
        __builtin_prefetch(slots + homes[r]);
    }
    for (int64_t r = 0; r < rows; r++) {
        int32_t id = slot_of(keys[r], homes[r], slots, last)->id;
        id = id == FREE ? UNKNOWN : id;
        out[r * stride] = there(c, first + r) ? id : MISSING;
    }
}

#define PUT_COUNTS(NAME, TYPE)                                                                                         \
    static int NAME(const Column *c, int64_t first, int64_t rows, float *out, int64_t stride) {                        \
        const TYPE *values = (const TYPE *)c->values + first;                                                          \
        const float *table = c->table;                                                                                 \
        int odd = 0;                                                                                                   \
        for (int64_t r = 0; r < rows; r++) {                                                                           \
            TYPE value = values[r] < 0 ? 0 : values[r];                                                                \
            bool large = value >= c->size, given = there(c, first + r);                                                \
            odd |= large & given;                                                                                      \
            out[r * stride] = given ? table[large ? 0 : value] : __builtin_nanf("");                                   \
        }                                                                                                              \
        return odd;                                                                                                    \
    }
PUT_COUNTS(put_counts32, int32_t)
PUT_COUNTS(put_counts64, int64_t)

// Writes columns as rows: `out` is [rows, count], of four bytes each.
EXPORT void rr_encode(Column *columns, int64_t count, int64_t rows, void *out) {
    for (int64_t i = 0; i < count; i++) columns[i].odd = 0;
    for (int64_t first = 0; first < rows; first += TILE) {
        int64_t some = rows - first < TILE ? rows - first : TILE;
        for (int64_t i = 0; i < count; i++) {
            Column *c = columns + i;
            uint32_t *to = (uint32_t *)out + first * count + i;
            switch (c->kind) {
                case READY: put_ready(c, first, some, to, count); break;
                case KEYS: put_ids(c, first, some, (int32_t *)to, count); break;
                case COUNTS32: c->odd |= put_counts32(c, first, some, (float *)to, count); break;
                case COUNTS64: c->odd |= put_counts64(c, first, some, (float *)to, count); break;
            }
        }
    }
}
