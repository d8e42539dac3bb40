/** https://protobuf.dev/programming-guides/encoding: a message is one field after another. */

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH = 2;
const FIXED_32 = 5;
/** Ten bytes hold 64 bits. */
const VARINT_BYTES_MAX = 10;

/** Whether fields (of proto3, which has no groups) fill the message from end to end. */
export function isWhole(message: Uint8Array): boolean {
  let at = 0;
  while (at < message.length) {
    const tag = varint(message, at);
    if (tag === null) return false;
    const end = endOf(message, { kind: tag.value % 8, at: tag.end });
    if (end === null || end > message.length) return false;
    at = end;
  }
  return true;
}

function endOf(
  message: Uint8Array,
  { kind, at }: { readonly kind: number; readonly at: number },
): number | null {
  switch (kind) {
    case VARINT:
      return varint(message, at)?.end ?? null;
    case FIXED_64:
      return at + 8;
    case FIXED_32:
      return at + 4;
    case LENGTH: {
      const length = varint(message, at);
      return length === null ? null : length.end + length.value;
    }
    default:
      return null;
  }
}

/** Above 2^53 the value is not exact, but still far behind the end of any message. */
function varint(
  message: Uint8Array,
  start: number,
): { readonly value: number; readonly end: number } | null {
  let value = 0;
  for (let index = 0; index < VARINT_BYTES_MAX; index += 1) {
    const byte = message[start + index];
    if (byte === undefined) return null;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, end: start + index + 1 };
  }
  return null;
}
