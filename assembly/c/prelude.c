/*
 * The functions below need these: memory, and the instructions of Wasm that C has no operator for. C leaves some of
 * them undefined (a shift by 32, a division by 0). Here they do what Wasm says.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS, also with -std=c11 */
#endif
#include "featherstar_core.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__GNUC__)
#error "featherstar_core.c needs a compiler with GCC's __atomic builtins: gcc or clang"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "featherstar_core.c needs a little-endian processor, as Wasm's memory is"
#endif

/* 1: each access is compared with the memory's size. 0: guard pages catch accesses outside, and no code is spent. */
#ifndef FEATHERSTAR_CHECKED
#if defined(__unix__) && UINTPTR_MAX > UINT32_MAX
#define FEATHERSTAR_CHECKED 0
#else
#define FEATHERSTAR_CHECKED 1
#endif
#endif

#define PAGE_BYTES UINT64_C(65536)
#define FS_INLINE static inline __attribute__((unused))

/* The core found itself broken, or was called against its rules. Wasm's word for this is a trap. */
#ifdef FEATHERSTAR_TRAP
#define trap(what) FEATHERSTAR_TRAP(what)
#else
__attribute__((noreturn, cold, unused)) static void trap(const char *what)
{
	fprintf(stderr, "featherstar: trap: %s\n", what);
	abort();
}
#endif

/* --- memory ------------------------------------------------------------------------------------------------------- */

#if FEATHERSTAR_CHECKED

struct featherstar_memory featherstar_memory_reserve(uint32_t pages)
{
	struct featherstar_memory memory = { NULL, (uint64_t)pages * PAGE_BYTES };

	if (memory.bytes <= SIZE_MAX)
		memory.at = aligned_alloc(4096, (size_t)memory.bytes);
	if (memory.at == NULL)
		return (struct featherstar_memory){ NULL, 0 };
	memset(memory.at, 0, (size_t)memory.bytes);
	return memory;
}

void featherstar_memory_release(struct featherstar_memory memory)
{
	free(memory.at);
}

#else

#include <sys/mman.h>

/* Every address that 32 bits and a constant offset can name. */
#define REACH ((UINT64_C(1) << 32) + 2 * PAGE_BYTES)

struct featherstar_memory featherstar_memory_reserve(uint32_t pages)
{
	struct featherstar_memory memory = { NULL, (uint64_t)pages * PAGE_BYTES };
	void *at = mmap(NULL, REACH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return (struct featherstar_memory){ NULL, 0 };
	if (pages > 65536 || mprotect(at, memory.bytes, PROT_READ | PROT_WRITE) != 0) {
		munmap(at, REACH);
		return (struct featherstar_memory){ NULL, 0 };
	}
	memory.at = at;
	return memory;
}

void featherstar_memory_release(struct featherstar_memory memory)
{
	if (memory.at != NULL)
		munmap(memory.at, REACH);
}

#endif

/* Where the bytes of an access lie. */
FS_INLINE uint8_t *place(struct featherstar_memory m, uint32_t address, uint64_t offset, uint64_t bytes)
{
	if (FEATHERSTAR_CHECKED && address + offset + bytes > m.bytes)
		trap("out of bounds memory access");
	return m.at + address + offset;
}

/* Fills and copies can be longer than the guard, so they are always checked. */
FS_INLINE uint8_t *range(struct featherstar_memory m, uint32_t address, uint32_t bytes)
{
	if ((uint64_t)address + bytes > m.bytes)
		trap("out of bounds memory access");
	return m.at + address;
}

FS_INLINE void memory_fill(struct featherstar_memory m, uint32_t to, uint32_t value, uint32_t bytes)
{
	memset(range(m, to, bytes), (uint8_t)value, bytes);
}

FS_INLINE void memory_copy(struct featherstar_memory m, uint32_t to, uint32_t from, uint32_t bytes)
{
	memmove(range(m, to, bytes), range(m, from, bytes), bytes);
}

#define DEFINE_LOAD(name, type, in_memory)                                               \
	FS_INLINE type name(struct featherstar_memory m, uint32_t address, uint64_t offset)  \
	{                                                                                    \
		in_memory value;                                                                 \
		memcpy(&value, place(m, address, offset, sizeof value), sizeof value);           \
		return (type)value;                                                              \
	}
#define DEFINE_STORE(name, type, in_memory)                                                          \
	FS_INLINE void name(struct featherstar_memory m, uint32_t address, uint64_t offset, type given)  \
	{                                                                                                \
		in_memory value = (in_memory)given;                                                          \
		memcpy(place(m, address, offset, sizeof value), &value, sizeof value);                       \
	}
DEFINE_LOAD(i32_load, uint32_t, uint32_t)
DEFINE_LOAD(i32_load8_u, uint32_t, uint8_t)
DEFINE_LOAD(i32_load8_s, uint32_t, int8_t)
DEFINE_LOAD(i32_load16_u, uint32_t, uint16_t)
DEFINE_LOAD(i32_load16_s, uint32_t, int16_t)
DEFINE_LOAD(i64_load, uint64_t, uint64_t)
DEFINE_LOAD(i64_load8_u, uint64_t, uint8_t)
DEFINE_LOAD(i64_load8_s, uint64_t, int8_t)
DEFINE_LOAD(i64_load16_u, uint64_t, uint16_t)
DEFINE_LOAD(i64_load16_s, uint64_t, int16_t)
DEFINE_LOAD(i64_load32_u, uint64_t, uint32_t)
DEFINE_LOAD(i64_load32_s, uint64_t, int32_t)
DEFINE_LOAD(f64_load, double, double)
DEFINE_STORE(i32_store, uint32_t, uint32_t)
DEFINE_STORE(i32_store8, uint32_t, uint8_t)
DEFINE_STORE(i32_store16, uint32_t, uint16_t)
DEFINE_STORE(i64_store, uint64_t, uint64_t)
DEFINE_STORE(i64_store8, uint64_t, uint8_t)
DEFINE_STORE(i64_store16, uint64_t, uint16_t)
DEFINE_STORE(i64_store32, uint64_t, uint32_t)
DEFINE_STORE(f64_store, double, double)

/* --- atomics: all of Wasm's are sequentially consistent, and trap if they are not aligned ------------------------- */

#define DEFINE_ATOMICS(name, type)                                                                                 \
	typedef type __attribute__((may_alias)) name##_shared;                                                         \
	FS_INLINE name##_shared *name##_place(struct featherstar_memory m, uint32_t address, uint64_t offset)          \
	{                                                                                                              \
		if ((address + offset) % sizeof(type) != 0)                                                                \
			trap("unaligned atomic");                                                                              \
		return (name##_shared *)(void *)place(m, address, offset, sizeof(type));                                   \
	}                                                                                                              \
	FS_INLINE type name##_atomic_load(struct featherstar_memory m, uint32_t address, uint64_t offset)              \
	{                                                                                                              \
		return __atomic_load_n(name##_place(m, address, offset), __ATOMIC_SEQ_CST);                                \
	}                                                                                                              \
	FS_INLINE void name##_atomic_store(struct featherstar_memory m, uint32_t address, uint64_t offset, type value) \
	{                                                                                                              \
		__atomic_store_n(name##_place(m, address, offset), value, __ATOMIC_SEQ_CST);                               \
	}                                                                                                              \
	FS_INLINE type name##_atomic_rmw_cmpxchg(struct featherstar_memory m, uint32_t address, uint64_t offset,       \
						 type expected, type wanted)                                                               \
	{                                                                                                              \
		__atomic_compare_exchange_n(name##_place(m, address, offset), &expected, wanted, 0, __ATOMIC_SEQ_CST,      \
					    __ATOMIC_SEQ_CST);                                                                         \
		return expected;                                                                                           \
	}
#define DEFINE_RMW(name, operation, type, builtin)                                                                 \
	FS_INLINE type name##_atomic_rmw_##operation(struct featherstar_memory m, uint32_t address, uint64_t offset,   \
						     type value)                                                                       \
	{                                                                                                              \
		return builtin(name##_place(m, address, offset), value, __ATOMIC_SEQ_CST);                                 \
	}
#define DEFINE_ALL_RMW(name, type)                        \
	DEFINE_RMW(name, add, type, __atomic_fetch_add)       \
	DEFINE_RMW(name, sub, type, __atomic_fetch_sub)       \
	DEFINE_RMW(name, and, type, __atomic_fetch_and)       \
	DEFINE_RMW(name, or, type, __atomic_fetch_or)         \
	DEFINE_RMW(name, xor, type, __atomic_fetch_xor)       \
	DEFINE_RMW(name, xchg, type, __atomic_exchange_n)
DEFINE_ATOMICS(i32, uint32_t)
DEFINE_ATOMICS(i64, uint64_t)
DEFINE_ALL_RMW(i32, uint32_t)
DEFINE_ALL_RMW(i64, uint64_t)

/* --- integers ----------------------------------------------------------------------------------------------------- */

#define DEFINE_INTEGER(name, type, signed_type, bits, clz, ctz, popcnt, lowest)                  \
	FS_INLINE type name##_shl(type a, type b) { return a << (b & (bits - 1)); }                   \
	FS_INLINE type name##_shr_u(type a, type b) { return a >> (b & (bits - 1)); }                 \
	FS_INLINE type name##_shr_s(type a, type b)                                                   \
	{                                                                                             \
		return (type)((signed_type)a >> (b & (bits - 1)));                                        \
	}                                                                                             \
	FS_INLINE type name##_rotl(type a, type b)                                                    \
	{                                                                                             \
		return a << (b & (bits - 1)) | a >> (-b & (bits - 1));                                    \
	}                                                                                             \
	FS_INLINE type name##_rotr(type a, type b)                                                    \
	{                                                                                             \
		return a >> (b & (bits - 1)) | a << (-b & (bits - 1));                                    \
	}                                                                                             \
	FS_INLINE type name##_div_u(type a, type b)                                                   \
	{                                                                                             \
		if (b == 0)                                                                               \
			trap("integer divide by zero");                                                       \
		return a / b;                                                                             \
	}                                                                                             \
	FS_INLINE type name##_rem_u(type a, type b)                                                   \
	{                                                                                             \
		if (b == 0)                                                                               \
			trap("integer divide by zero");                                                       \
		return a % b;                                                                             \
	}                                                                                             \
	FS_INLINE type name##_div_s(type a, type b)                                                   \
	{                                                                                             \
		if (b == 0)                                                                               \
			trap("integer divide by zero");                                                       \
		if (b == (type)-1 && a == (type)lowest)                                                   \
			trap("integer overflow");                                                             \
		return (type)((signed_type)a / (signed_type)b);                                           \
	}                                                                                             \
	FS_INLINE type name##_rem_s(type a, type b)                                                   \
	{                                                                                             \
		if (b == 0)                                                                               \
			trap("integer divide by zero");                                                       \
		return b == (type)-1 ? 0 : (type)((signed_type)a % (signed_type)b);                       \
	}                                                                                             \
	FS_INLINE type name##_clz(type a) { return a == 0 ? bits : (type)clz(a); }                    \
	FS_INLINE type name##_ctz(type a) { return a == 0 ? bits : (type)ctz(a); }                    \
	FS_INLINE type name##_popcnt(type a) { return (type)popcnt(a); }
DEFINE_INTEGER(i32, uint32_t, int32_t, 32, __builtin_clz, __builtin_ctz, __builtin_popcount, INT32_MIN)
DEFINE_INTEGER(i64, uint64_t, int64_t, 64, __builtin_clzll, __builtin_ctzll, __builtin_popcountll, INT64_MIN)

/* --- floating point ----------------------------------------------------------------------------------------------- */

/* C may fuse a product and a sum, and round once. Wasm rounds each, so the product is hidden from the compiler. */
FS_INLINE double f64_mul(double a, double b)
{
	double product = a * b;

#if defined(__FP_FAST_FMA) && defined(__aarch64__)
	__asm__("" : "+w"(product));
#elif defined(__FP_FAST_FMA) && defined(__x86_64__)
	__asm__("" : "+x"(product));
#elif defined(__FP_FAST_FMA)
	__asm__("" : "+m"(product));
#endif
	return product;
}

FS_INLINE double f64_bits(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

FS_INLINE double f64_max(double a, double b)
{
	if (a != a || b != b)
		return a + b;
	return a > b || (a == b && !signbit(a)) ? a : b;
}

FS_INLINE double f64_min(double a, double b)
{
	if (a != a || b != b)
		return a + b;
	return a < b || (a == b && signbit(a)) ? a : b;
}

/* From here on every double is an integer; a NaN is neither. */
#define F64_WHOLE 4503599627370496.0

FS_INLINE double f64_floor(double a)
{
	double whole;

	if (!(a > -F64_WHOLE && a < F64_WHOLE))
		return a;
	whole = (double)(int64_t)a;
	return copysign(whole > a ? whole - 1 : whole, a);
}

FS_INLINE double f64_ceil(double a)
{
	double whole;

	if (!(a > -F64_WHOLE && a < F64_WHOLE))
		return a;
	whole = (double)(int64_t)a;
	return copysign(whole < a ? whole + 1 : whole, a);
}

FS_INLINE uint32_t i32_trunc_sat_f64_u(double a)
{
	return !(a > 0) ? 0 : a >= 4294967296.0 ? UINT32_MAX : (uint32_t)a;
}

FS_INLINE uint32_t i32_trunc_sat_f64_s(double a)
{
	if (a != a)
		return 0;
	return (uint32_t)(a <= -2147483648.0 ? INT32_MIN : a >= 2147483648.0 ? INT32_MAX : (int32_t)a);
}

FS_INLINE uint64_t i64_trunc_sat_f64_u(double a)
{
	return !(a > 0) ? 0 : a >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)a;
}

FS_INLINE uint64_t i64_trunc_sat_f64_s(double a)
{
	if (a != a)
		return 0;
	return (uint64_t)(a <= -9223372036854775808.0 ? INT64_MIN : a >= 9223372036854775808.0 ? INT64_MAX : (int64_t)a);
}

/* --- 16 bytes at a time ------------------------------------------------------------------------------------------- */

#if defined(FEATHERSTAR_SCALAR)

typedef struct {
	uint8_t lane[16];
} v128;

#define EACH(expression)                                    \
	do {                                                    \
		for (int i = 0; i < 16; i++)                        \
			result.lane[i] = (uint8_t)(expression);         \
	} while (0)
#define DEFINE_LANES(name, expression)                      \
	FS_INLINE v128 name(v128 a, v128 b)                     \
	{                                                       \
		v128 result;                                        \
		EACH(expression);                                   \
		return result;                                      \
	}
#define A a.lane[i]
#define B b.lane[i]
#define ALL(condition) ((condition) ? 0xff : 0)
DEFINE_LANES(v128_and, A & B)
DEFINE_LANES(v128_or, A | B)
DEFINE_LANES(v128_xor, A ^ B)
DEFINE_LANES(v128_andnot, A & ~B)
DEFINE_LANES(i8x16_add, A + B)
DEFINE_LANES(i8x16_sub, A - B)
DEFINE_LANES(i8x16_eq, ALL(A == B))
DEFINE_LANES(i8x16_ne, ALL(A != B))
DEFINE_LANES(i8x16_lt_u, ALL(A < B))
DEFINE_LANES(i8x16_le_u, ALL(A <= B))
DEFINE_LANES(i8x16_gt_u, ALL(A > B))
DEFINE_LANES(i8x16_ge_u, ALL(A >= B))
DEFINE_LANES(i8x16_lt_s, ALL((int8_t)A < (int8_t)B))
DEFINE_LANES(i8x16_le_s, ALL((int8_t)A <= (int8_t)B))
DEFINE_LANES(i8x16_gt_s, ALL((int8_t)A > (int8_t)B))
DEFINE_LANES(i8x16_ge_s, ALL((int8_t)A >= (int8_t)B))
DEFINE_LANES(i8x16_swizzle, B < 16 ? a.lane[B & 15] : 0)
#undef A
#undef B

FS_INLINE v128 i16x8_shr_u(v128 a, uint32_t count)
{
	v128 result;
	uint16_t lane;

	for (int i = 0; i < 16; i += 2) {
		memcpy(&lane, &a.lane[i], 2);
		lane = (uint16_t)(lane >> (count & 15));
		memcpy(&result.lane[i], &lane, 2);
	}
	return result;
}

FS_INLINE uint32_t i8x16_bitmask(v128 a)
{
	uint32_t mask = 0;

	for (int i = 0; i < 16; i++)
		mask |= (uint32_t)(a.lane[i] >> 7) << i;
	return mask;
}

#else

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__SSSE3__)
#include <tmmintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef uint8_t v128 __attribute__((vector_size(16)));
typedef int8_t v128_signed __attribute__((vector_size(16)));
typedef uint16_t v128_halves __attribute__((vector_size(16)));

#define DEFINE_LANES(name, expression)                                                 \
	FS_INLINE v128 name(v128 a, v128 b) { return (v128)(expression); }
DEFINE_LANES(v128_and, a & b)
DEFINE_LANES(v128_or, a | b)
DEFINE_LANES(v128_xor, a ^ b)
DEFINE_LANES(v128_andnot, a & ~b)
DEFINE_LANES(i8x16_add, a + b)
DEFINE_LANES(i8x16_sub, a - b)
DEFINE_LANES(i8x16_eq, a == b)
DEFINE_LANES(i8x16_ne, a != b)
DEFINE_LANES(i8x16_lt_u, a < b)
DEFINE_LANES(i8x16_le_u, a <= b)
DEFINE_LANES(i8x16_gt_u, a > b)
DEFINE_LANES(i8x16_ge_u, a >= b)
DEFINE_LANES(i8x16_lt_s, (v128_signed)a < (v128_signed)b)
DEFINE_LANES(i8x16_le_s, (v128_signed)a <= (v128_signed)b)
DEFINE_LANES(i8x16_gt_s, (v128_signed)a > (v128_signed)b)
DEFINE_LANES(i8x16_ge_s, (v128_signed)a >= (v128_signed)b)

FS_INLINE v128 i16x8_shr_u(v128 a, uint32_t count)
{
	return (v128)((v128_halves)a >> (uint16_t)(count & 15));
}

/* The two that compilers have no operator for. Without SSSE3 (-mssse3, -march=x86-64-v2) a swizzle takes a loop. */
FS_INLINE v128 i8x16_swizzle(v128 a, v128 b)
{
#if defined(__SSSE3__)
	/* pshufb gives 0 if the highest bit is set: adding 112 with saturation sets it from 16 on */
	return (v128)_mm_shuffle_epi8((__m128i)a, _mm_adds_epu8((__m128i)b, _mm_set1_epi8(112)));
#elif defined(__aarch64__)
	return (v128)vqtbl1q_u8((uint8x16_t)a, (uint8x16_t)b);
#else
	v128 result;

	for (int i = 0; i < 16; i++)
		result[i] = b[i] < 16 ? a[b[i] & 15] : 0;
	return result;
#endif
}

FS_INLINE uint32_t i8x16_bitmask(v128 a)
{
#if defined(__SSE2__)
	return (uint32_t)_mm_movemask_epi8((__m128i)a);
#else
	uint64_t half[2];

	memcpy(half, &a, sizeof half);
	for (int i = 0; i < 2; i++) /* gathers the highest bit of each byte in the highest byte */
		half[i] = ((half[i] >> 7 & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080)) >> 56;
	return (uint32_t)(half[0] | half[1] << 8);
#endif
}

#endif

FS_INLINE v128 v128_load(struct featherstar_memory m, uint32_t address, uint64_t offset)
{
	v128 value;

	memcpy(&value, place(m, address, offset, sizeof value), sizeof value);
	return value;
}

FS_INLINE void v128_store(struct featherstar_memory m, uint32_t address, uint64_t offset, v128 value)
{
	memcpy(place(m, address, offset, sizeof value), &value, sizeof value);
}

FS_INLINE v128 i32x4_splat(uint32_t lane)
{
	uint32_t lanes[4] = { lane, lane, lane, lane };
	v128 value;

	memcpy(&value, lanes, sizeof value);
	return value;
}

FS_INLINE v128 v128_const(uint64_t low, uint64_t high)
{
	uint64_t half[2] = { low, high };
	v128 value;

	memcpy(&value, half, sizeof value);
	return value;
}
