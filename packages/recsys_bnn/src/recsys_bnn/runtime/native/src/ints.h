// Exact sums of products of codes and 8-bit weights. Panels are [N / 16][K / 4][16][4] int8, K padded to 64; those of
// INT_LOOPS are [N / 16][K][16].
#pragma once
#include "common.h"

enum { QUAD = 4 * PANEL };  // bytes of four inputs of a panel

static void int_loops(const Layer *l, const Way *way, const int16_t *x, int64_t stride, const int32_t *sums, int64_t rows, float *y, int64_t ldy) {
    for (int64_t n = 0; n < l->outputs; n += PANEL) {
        const int8_t *w = (const int8_t *)way->weights + n * l->depth;
        for (int64_t r = 0; r < rows; r++) {
            int32_t acc[PANEL] = {0};
            for (int64_t k = 0; k < l->depth; k++)
                for (int o = 0; o < PANEL; o++) acc[o] += x[r * stride + k] * w[k * PANEL + o];
            finish_sums(l, way, acc, sums[r], n, PANEL, y + r * ldy + n);
        }
    }
}

#if defined(__AVX2__)
// Pairs of 16-bit products, which fit an int32: any codes and weights. An accumulator holds two parts of each of 4 sums.
INLINE void put_madd16(__m256i first, __m256i second, const Layer *l, const Way *way, int32_t row_sum, int64_t n, float *y) {
    __m256i sums = _mm256_permute4x64_epi64(_mm256_hadd_epi32(first, second), _MM_SHUFFLE(3, 1, 2, 0));
    finish_sums8(l, way, sums, row_sum, n, y + n);
}

INLINE __m256i widened(const int8_t *w) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)w)); }

// R rows by half a panel.
INLINE void madd16_tile(const int R, const Layer *l, const Way *way, const int8_t *w, const int16_t *x, int64_t stride, const int32_t *sums, int64_t n, float *y, int64_t ldy) {
    __m256i acc[6][2];
    EACH(r, R) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    for (int64_t k = 0; k < l->depth; k += 4) {
        __m256i w0 = widened(w + k * PANEL), w1 = widened(w + k * PANEL + 16);
        EACH(r, R) {
            int64_t four;
            memcpy(&four, x + r * stride + k, 8);
            __m256i xx = _mm256_set1_epi64x(four);
            acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(xx, w0));
            acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(xx, w1));
            IN_ORDER();
        }
    }
    EACH(r, R) put_madd16(acc[r][0], acc[r][1], l, way, sums[r], n, y + r * ldy);
}

// One row by P panels.
INLINE void madd16_row(const int P, const Layer *l, const Way *way, const int8_t *w, int64_t panel, const int16_t *x, int32_t row_sum, int64_t n, float *y) {
    __m256i acc[8];
    EACH(a, 4 * P) acc[a] = _mm256_setzero_si256();
    for (int64_t k = 0; k < l->depth; k += 4) {
        int64_t four;
        memcpy(&four, x + k, 8);
        __m256i xx = _mm256_set1_epi64x(four);
        EACH(a, 4 * P) acc[a] = _mm256_add_epi32(acc[a], _mm256_madd_epi16(xx, widened(w + a / 4 * panel + k * PANEL + a % 4 * 16)));
    }
    for (int a = 0; a < 4 * P; a += 2) put_madd16(acc[a], acc[a + 1], l, way, row_sum, n + 4 * a, y);
}

static void madd16(const Layer *l, const Way *way, const int16_t *x, int64_t stride, const int32_t *sums, int64_t rows, float *y, int64_t ldy) {
    int64_t panel = up(l->depth, 64) * PANEL, block = outputs_at_once(panel, PANEL);
    if (rows == 1) {
        for (int64_t n = 0; n < l->outputs; n += 2 * PANEL) {
            const int8_t *w = (const int8_t *)way->weights + n / PANEL * panel;
            if (n + PANEL < l->outputs) madd16_row(2, l, way, w, panel, x, sums[0], n, y);
            else madd16_row(1, l, way, w, panel, x, sums[0], n, y);
        }
        return;
    }
    for (int64_t begin = 0; begin < l->outputs; begin += block)
        for (int64_t r = 0; r < rows; r += 6)
            for (int64_t n = begin; n < begin + block && n < l->outputs; n += 8) {
                const int8_t *w = (const int8_t *)way->weights + n / PANEL * panel + n % PANEL * 4;
#define CALL(R) madd16_tile(R, l, way, w, x + r * stride, stride, sums + r, n, y + r * ldy, ldy)
                ROWS_1_TO_6(rows - r, CALL)
#undef CALL
            }
}

// Bytes by bytes in int16 sums, which are widened before they can overflow, after `steps` additions.
INLINE void maddubs_tile(const int R, const Layer *l, const Way *way, const int8_t *w, const uint8_t *x, int64_t stride, const int32_t *sums, int64_t n, float *y, int64_t ldy) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i wide[6][2];
    EACH(r, R) wide[r][0] = wide[r][1] = _mm256_setzero_si256();
    for (int64_t k = 0; k < l->depth;) {
        int64_t end = k + 4 * (int64_t)way->steps < l->depth ? k + 4 * (int64_t)way->steps : l->depth;
        __m256i acc[6][2];
        EACH(r, R) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
        for (; k < end; k += 4) {
            __m256i w0 = _mm256_loadu_si256((const void *)(w + k * PANEL)), w1 = _mm256_loadu_si256((const void *)(w + k * PANEL + 32));
            EACH(r, R) {
                int32_t four;
                memcpy(&four, x + r * stride + k, 4);
                __m256i xx = _mm256_set1_epi32(four);
                acc[r][0] = _mm256_add_epi16(acc[r][0], _mm256_maddubs_epi16(xx, w0));
                acc[r][1] = _mm256_add_epi16(acc[r][1], _mm256_maddubs_epi16(xx, w1));
                IN_ORDER();
            }
        }
        EACH(r, R)
            EACH(h, 2) wide[r][h] = _mm256_add_epi32(wide[r][h], _mm256_madd_epi16(acc[r][h], ones));
    }
    EACH(r, R)
        EACH(h, 2) finish_sums8(l, way, wide[r][h], sums[r], n + 8 * h, y + r * ldy + n + 8 * h);
}

static void maddubs(const Layer *l, const Way *way, const uint8_t *x, int64_t stride, const int32_t *sums, int64_t rows, float *y, int64_t ldy) {
    int64_t panel = up(l->depth, 64) * PANEL, block = outputs_at_once(panel, PANEL);
    for (int64_t begin = 0; begin < l->outputs; begin += block)
        for (int64_t r = 0; r < rows; r += 4)
            for (int64_t n = begin; n < begin + block && n < l->outputs; n += PANEL) {
                const int8_t *w = (const int8_t *)way->weights + n / PANEL * panel;
#define CALL(R) maddubs_tile(R, l, way, w, x + r * stride, stride, sums + r, n, y + r * ldy, ldy)
                ROWS_1_TO_4(rows - r, CALL)
#undef CALL
            }
}
#endif

#if defined(__AVX512VNNI__)
// R rows by P panels.
INLINE void vnni_tile(const int R, const int P, const Layer *l, const Way *way, const int8_t *w, int64_t panel, const uint8_t *x, int64_t stride, const int32_t *sums, int64_t n, float *y, int64_t ldy) {
    __m512i acc[6][4];
    EACH(r, R) EACH(p, P) acc[r][p] = _mm512_setzero_si512();
    for (int64_t k = 0; k < l->depth; k += 4) {
        __m512i ww[4];
        EACH(p, P) ww[p] = _mm512_loadu_si512(w + p * panel + k * PANEL);
        EACH(r, R) {
            int32_t four;
            memcpy(&four, x + r * stride + k, 4);
            __m512i xx = _mm512_set1_epi32(four);
            EACH(p, P) acc[r][p] = _mm512_dpbusd_epi32(acc[r][p], xx, ww[p]);
            IN_ORDER();
        }
    }
    EACH(r, R)
        EACH(p, P) finish_sums16(l, way, acc[r][p], sums[r], n + p * PANEL, y + r * ldy + n + p * PANEL);
}

static void vnni(const Layer *l, const Way *way, const uint8_t *x, int64_t stride, const int32_t *sums, int64_t rows, float *y, int64_t ldy) {
    int64_t panel = up(l->depth, 64) * PANEL, panels = up(l->outputs, PANEL) / PANEL, block = outputs_at_once(4 * panel, 4);
    for (int64_t begin = 0; begin < panels; begin += block)
        for (int64_t r = 0; r < rows; r += 6)
            for (int64_t p = begin, some; p < begin + block && p < panels; p += some) {
                const int8_t *w = (const int8_t *)way->weights + p * panel;
                some = p + 4 <= panels ? 4 : 1;
#define CALL_4(R) vnni_tile(R, 4, l, way, w, panel, x + r * stride, stride, sums + r, p * PANEL, y + r * ldy, ldy)
#define CALL_1(R) vnni_tile(R, 1, l, way, w, panel, x + r * stride, stride, sums + r, p * PANEL, y + r * ldy, ldy)
                if (some == 4) { ROWS_1_TO_6(rows - r, CALL_4) } else { ROWS_1_TO_6(rows - r, CALL_1) }
#undef CALL_4
#undef CALL_1
            }
}
#endif

#if defined(__AMX_INT8__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
typedef struct { uint8_t palette, start, reserved[14]; uint16_t row_bytes[16]; uint8_t rows[16]; } TileConfig;

// Linux lends the tiles of AMX to a process that asks (ARCH_REQ_XCOMP_PERM, XTILEDATA).
static int amx_allowed(void) { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

static void amx_configure(int64_t first, int64_t second) {  // rows of the two tiles of inputs and of their sums
    TileConfig c = {.palette = 1};
    EACH(t, 8) { c.row_bytes[t] = 64; c.rows[t] = 16; }
    c.rows[0] = c.rows[1] = c.rows[4] = (uint8_t)first;
    c.rows[2] = c.rows[3] = c.rows[5] = (uint8_t)second;
    __asm__ volatile("" ::"m"(c) : "memory");  // gcc 12 knows of the first 8 bytes alone that they are read
    _tile_loadconfig(&c);
}

// Sums of up to 32 rows by two panels, int32 [32][32]; tiles 0 to 3 hold sums, 4 and 5 inputs, 6 and 7 weights.
INLINE void amx_tile(const int two_rows, const int two_panels, int64_t K, const int8_t *w, int64_t panel, const uint8_t *x, int64_t stride, int32_t *to) {
    IN_ORDER();  // nor that tiles are read from memory
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    for (int64_t k = 0; k < K; k += 64) {
        _tile_loadd(4, x + k, stride);
        _tile_loadd(6, w + k * PANEL, 64);
        _tile_dpbusd(0, 4, 6);
        if (two_panels) { _tile_loadd(7, w + panel + k * PANEL, 64); _tile_dpbusd(1, 4, 7); }
        if (two_rows) {
            _tile_loadd(5, x + 16 * stride + k, stride);
            _tile_dpbusd(2, 5, 6);
            if (two_panels) _tile_dpbusd(3, 5, 7);
        }
    }
    _tile_stored(0, to, 128);
    if (two_panels) _tile_stored(1, to + 16, 128);
    if (two_rows) _tile_stored(2, to + 16 * 32, 128);
    if (two_rows && two_panels) _tile_stored(3, to + 16 * 32 + 16, 128);
}

static void amx(const Layer *l, const Way *way, const uint8_t *x, int64_t stride, const int32_t *sums, int64_t rows, float *y, int64_t ldy) {
    int64_t K = up(l->depth, 64), panel = K * PANEL, panels = up(l->outputs, PANEL) / PANEL;
    int32_t to[32 * 32] ALIGNED;
    for (int64_t r = 0; r < rows; r += 32) {
        int64_t some = rows - r < 32 ? rows - r : 32;
        amx_configure(some < 16 ? some : 16, some > 16 ? some - 16 : 16);
        for (int64_t p = 0; p < panels; p += 2) {
            const int8_t *w = (const int8_t *)way->weights + p * panel;
            const uint8_t *xr = x + r * stride;
            int two = p + 1 < panels;
            if (some > 16) { if (two) amx_tile(1, 1, K, w, panel, xr, stride, to); else amx_tile(1, 0, K, w, panel, xr, stride, to); }
            else { if (two) amx_tile(0, 1, K, w, panel, xr, stride, to); else amx_tile(0, 0, K, w, panel, xr, stride, to); }
            for (int64_t i = 0; i < some; i++)
                for (int o = 0; o < (two ? 32 : 16); o += 16) {
                    int64_t n = p * PANEL + o;
                    finish_sums16(l, way, _mm512_load_si512(to + i * 32 + o), sums[r + i], n, y + (r + i) * ldy + n);
                }
        }
    }
    _tile_release();
}
#endif
