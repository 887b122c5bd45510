// === What goes into a response ===
//
// Writes the parts of a response head that change: the length behind a template that the host made once, and the date
// once a second. Results are the bytes written. Names of days and months are constants in the code, four letters to a
// word, because the module has no static data.
//
// Stores are wide and may run over: http_head() needs room for templateBytes + 16 bytes, http_date() for 32.
//
// Next: ../mesh.ts.

const CRLF_CRLF: u32 = 0x0a0d0a0d;
const ZEROS: u64 = 0x3030303030303030;

/** The 8 decimal digits of a number below 10^8 as bytes 0 to 9, the first digit in the lowest byte. */
function digits8(value: u32): u64 {
  assert(value < 100000000);
  // Halve the number of digits in each lane three times; a division is a multiplication by a rounded-up reciprocal.
  const lanes4 = <u64>(value / 10000) | ((<u64>(value % 10000)) << 32);
  const high2 = ((lanes4 * 10486) >> 20) & 0x7f0000007f; // / 100
  const lanes2 = high2 | ((lanes4 - high2 * 100) << 16);
  const high1 = ((lanes2 * 103) >> 10) & 0xf000f000f000f; // / 10
  return high1 | ((lanes2 - high1 * 10) << 8);
}

/** Writes a number in decimal; touches up to 8 bytes more than it returns. */
function decimal(out: usize, value: u32): u32 {
  assert(out != 0);
  let at = out;
  if (value >= 100000000) {
    at += decimal(at, value / 100000000);
    store<u64>(at, digits8(value % 100000000) | ZEROS);
    return <u32>(at + 8 - out);
  }
  const digits = digits8(value);
  const leading = ctz(digits | (1 << 56)) >> 3; // zeros in front; the last digit always stays
  assert(leading < 8);
  store<u64>(at, (digits | ZEROS) >> (leading << 3));
  return <u32>(8 - leading);
}

/** Writes template, contentLength and the empty line. The template ends with "Content-Length: ". */
export function http_head(out: usize, template: usize, templateBytes: u32, contentLength: u32): u32 {
  assert(out != 0);
  assert(template != 0);
  assert(out + templateBytes <= template || template + templateBytes <= out);
  for (let at: usize = 0; at < templateBytes; at += 16) {
    v128.store(out + at, v128.load(template + at));
  }
  const end = out + templateBytes;
  const bytes = decimal(end, contentLength);
  assert(bytes != 0);
  assert(bytes <= 10);
  store<u32>(end + bytes, CRLF_CRLF);
  return templateBytes + bytes + 4;
}

// --- dates ----------------------------------------------------------------------------------------------------------

const DAY_SECONDS: i64 = 86400;
const EPOCH_DAYS: i64 = 719468; // from the 1st of March of year 0 to the 1st of January 1970
const ERA_DAYS: i64 = 146097; // 400 years
const SECONDS_MIN: f64 = -62167219200; // 0000-01-01
const SECONDS_MAX: f64 = 253402300799; // 9999-12-31 23:59:59

/** "Sun," and so on, as a little-endian word; 0 is Sunday. */
function dayName(day: u32): u32 {
  assert(day < 7);
  switch (day) {
    case 0:
      return 0x2c6e7553;
    case 1:
      return 0x2c6e6f4d;
    case 2:
      return 0x2c657554;
    case 3:
      return 0x2c646557;
    case 4:
      return 0x2c756854;
    case 5:
      return 0x2c697246;
    default:
      return 0x2c746153;
  }
}

/** "Jan " and so on; 0 is January. */
function monthName(month: u32): u32 {
  assert(month < 12);
  switch (month) {
    case 0:
      return 0x206e614a;
    case 1:
      return 0x20626546;
    case 2:
      return 0x2072614d;
    case 3:
      return 0x20727041;
    case 4:
      return 0x2079614d;
    case 5:
      return 0x206e754a;
    case 6:
      return 0x206c754a;
    case 7:
      return 0x20677541;
    case 8:
      return 0x20706553;
    case 9:
      return 0x2074634f;
    case 10:
      return 0x20766f4e;
    default:
      return 0x20636544;
  }
}

/** Two digits as a little-endian word. */
function two(value: u32): u32 {
  assert(value < 100);
  return (0x30 + value / 10) | ((0x30 + (value % 10)) << 8);
}

/** Writes an IMF-fixdate, 29 bytes; 0 for a time outside the years 0 to 9999, and then nothing is written. */
export function http_date(out: usize, epochSeconds: f64): u32 {
  assert(out != 0);
  if (!(epochSeconds >= SECONDS_MIN && epochSeconds <= SECONDS_MAX)) return 0;
  // Count from the 1st of March 400 years before year 0: nothing is negative, and leap days come last in their year.
  const seconds = <i64>Math.floor(epochSeconds) + (EPOCH_DAYS + ERA_DAYS) * DAY_SECONDS;
  const days = seconds / DAY_SECONDS;
  const time = <u32>(seconds % DAY_SECONDS);
  const era = days / ERA_DAYS;
  const dayOfEra = <u32>(days % ERA_DAYS);
  const yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365;
  const dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
  const marchMonth = (5 * dayOfYear + 2) / 153; // 0 is March; the months have 31 30 31 30 31 31 30 31 30 31 31 days
  const day = dayOfYear - (153 * marchMonth + 2) / 5 + 1;
  assert(dayOfYear < 366);
  assert(marchMonth < 12);
  assert(day != 0);
  assert(day <= 31);
  const month = marchMonth < 10 ? marchMonth + 2 : marchMonth - 10;
  const year = <u32>(era - 1) * 400 + yearOfEra + (month < 2 ? 1 : 0);

  store<u32>(out, dayName(<u32>((days + 3) % 7)));
  store<u8>(out + 4, 0x20);
  store<u16>(out + 5, two(day));
  store<u8>(out + 7, 0x20);
  store<u32>(out + 8, monthName(month));
  store<u16>(out + 12, two(year / 100));
  store<u16>(out + 14, two(year % 100));
  store<u8>(out + 16, 0x20);
  store<u16>(out + 17, two(time / 3600));
  store<u8>(out + 19, 0x3a);
  store<u16>(out + 20, two((time / 60) % 60));
  store<u8>(out + 22, 0x3a);
  store<u16>(out + 23, two(time % 60));
  store<u32>(out + 25, 0x544d4720); // " GMT"
  return 29;
}
