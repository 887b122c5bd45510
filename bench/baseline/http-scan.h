// Finding where HTTP requests end: the empty line, CR LF CR LF. Shared by both C servers, which do nothing else with a
// request. Bytes come in as the kernel hands them over, in pieces cut anywhere. The result is a count of ends. One byte
// of state goes from piece to piece: how much of the empty line the last piece ended with.
//
// Invariant: ends never overlap. CR LF CR LF CR LF is one end and half of another, as a byte-wise machine sees it.
//
// Next: http-answer.h.
#pragma once
#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

// The scan loads whole vectors: this many bytes behind the last one must be readable. Their content does not matter.
#define SCAN_PADDING 64

// One step of the byte-wise machine. `matched` counts the bytes of the empty line seen so far, 0 to 3.
static inline uint32_t scan_byte(uint8_t *matched, uint8_t byte) {
  uint8_t before = *matched;
  if (byte == '\r') {
    *matched = before == 2 ? 3 : 1;
  } else if (byte == '\n' && (before & 1)) {
    *matched = (before + 1) & 3; // the fourth byte ends the request, and the next one begins with nothing matched
    return before == 3;
  } else {
    *matched = 0;
  }
  return 0;
}

// Bit i is set if at[i] is the last byte of CR LF CR LF, so at[-3] must be readable.
#if defined(__AVX2__)
#define SCAN_WIDTH 32
static inline uint64_t scan_mask(const uint8_t *at) {
  const __m256i cr = _mm256_set1_epi8('\r'), lf = _mm256_set1_epi8('\n');
  __m256i first = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_loadu_si256((const void *)(at - 3)), cr),
                                   _mm256_cmpeq_epi8(_mm256_loadu_si256((const void *)(at - 2)), lf));
  __m256i second = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_loadu_si256((const void *)(at - 1)), cr),
                                    _mm256_cmpeq_epi8(_mm256_loadu_si256((const void *)at), lf));
  return (uint32_t)_mm256_movemask_epi8(_mm256_and_si256(first, second));
}
#elif defined(__SSE2__)
#define SCAN_WIDTH 16
static inline uint64_t scan_mask(const uint8_t *at) {
  const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');
  __m128i first = _mm_and_si128(_mm_cmpeq_epi8(_mm_loadu_si128((const void *)(at - 3)), cr),
                                _mm_cmpeq_epi8(_mm_loadu_si128((const void *)(at - 2)), lf));
  __m128i second = _mm_and_si128(_mm_cmpeq_epi8(_mm_loadu_si128((const void *)(at - 1)), cr),
                                 _mm_cmpeq_epi8(_mm_loadu_si128((const void *)at), lf));
  return (uint32_t)_mm_movemask_epi8(_mm_and_si128(first, second));
}
#else
#define SCAN_WIDTH 8
static inline uint64_t scan_mask(const uint8_t *at) {
  uint64_t mask = 0;
  for (int i = 0; i < SCAN_WIDTH; i++) {
    if (at[i] == '\n' && at[i - 1] == '\r' && at[i - 2] == '\n' && at[i - 3] == '\r') mask |= 1ull << i;
  }
  return mask;
}
#endif

// How many requests end in data[0, bytes). SCAN_PADDING bytes behind it must be readable.
static inline uint32_t scan_ends(const uint8_t *data, size_t bytes, uint8_t *matched) {
  uint32_t ends = 0;
  size_t begin = 0; // the first byte that is not part of an end already counted
  // An end that began in an earlier piece is over within three bytes; the machine knows what came before.
  size_t head = bytes < 3 ? bytes : 3;
  for (size_t i = 0; i < head; i++) {
    if (!scan_byte(matched, data[i])) continue;
    ends++;
    begin = i + 1;
  }
  if (bytes <= 3) return ends;
  for (size_t i = 3; i < bytes; i += SCAN_WIDTH) {
    uint64_t mask = scan_mask(data + i);
    if (bytes - i < SCAN_WIDTH) mask &= (1ull << (bytes - i)) - 1;
    for (; mask != 0; mask &= mask - 1) {
      size_t last = i + (size_t)__builtin_ctzll(mask);
      if (last - begin < 3) continue; // overlaps the end before
      ends++;
      begin = last + 1;
    }
  }
  *matched = 0;
  for (size_t i = begin > bytes - 3 ? begin : bytes - 3; i < bytes; i++) scan_byte(matched, data[i]);
  return ends;
}
